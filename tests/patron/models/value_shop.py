"""Customers who buy by Pareto/NBD and spend by Gamma-Gamma, told as of several cutoffs of one history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.patron.models.shop import CUTOFF_DAY, NAMES, facts

HORIZON = 90


@dataclass
class History:
    """rows: as of every cutoff, one after the other; the rest has an entry a row."""

    rows: dict[str, NDArray[np.float64]]
    spent: NDArray[np.float64]
    orders: NDArray[np.float64]
    customers: NDArray[np.int64]


def customer(rng: np.random.Generator, growth: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Days of purchase from 0 to 500 and spend on each, which grows by `growth` a day for everybody."""
    first, mean = rng.integers(0, 200), 6.0 / rng.gamma(4.0, 1 / 15.0)
    gaps = rng.exponential(1 / rng.gamma(0.6, 0.08), 200)
    stops = first + rng.exponential(1 / rng.gamma(0.8, 0.006))
    days = np.unique(np.floor(first + np.concatenate([[0.0], np.cumsum(gaps)])))
    days = days[(days <= max(stops, first)) & (days < 500)]
    return days, rng.gamma(6.0, mean / 6.0, len(days)) * np.exp(growth * days)


def history(cutoffs: tuple[int, ...], customers: int = 600, seed: int = 1, growth: float = 0.0) -> History:
    rng = np.random.default_rng(seed)
    people = [customer(rng, growth) for _ in range(customers)]
    found = [told(people, cutoff) for cutoff in cutoffs]
    rows = {name: np.concatenate([each.rows[name] for each in found]) for name in NAMES}
    return History(
        rows,
        *(
            np.concatenate([getattr(each, name) for each in found])
            for name in ("spent", "orders", "customers")
        ),
    )


def told(people: list[tuple[NDArray[np.float64], NDArray[np.float64]]], cutoff: int) -> History:
    known = [at for at, (days, _) in enumerate(people) if days[0] < cutoff]
    shift, made, spent, orders = CUTOFF_DAY - cutoff, [], [], []
    for at in known:
        days, amounts = people[at]
        before, after = days < cutoff, (days >= cutoff) & (days < cutoff + HORIZON)
        made.append(facts(days[before] + shift, amounts[before]))
        spent.append(float(amounts[after].sum()))
        orders.append(float(after.sum()))
    rows = {name: np.array([each[name] for each in made]) for name in NAMES}
    for name in ("first_order_at", "last_order_at"):
        rows[name] = rows[name] - shift * 86_400
    return History(rows, np.array(spent), np.array(orders), np.array(known))

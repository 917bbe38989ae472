"""One experiment after another, each looked at every day."""

from __future__ import annotations

import timeit
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experimenting.shops import Floats, Shop
from patron.experiments.assignment import Experiments
from patron.experiments.comparison import compare, cuped
from patron.experiments.sample_ratio import LEVEL, log_bayes_factor
from patron.experiments.terms import Arm, Experiment

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALPHA = 0.05
ONE_LOOK = 1.959964
"""A normal test's bound at ALPHA, looked at once."""
HOME = "placement:home"


@dataclass(frozen=True)
class Looked:
    """What the daily looks at one experiment found.

    found, plain: day of the first look at which the sequence excluded 0, with CUPED and without; None: never.
    peeked: the same of a test that is made for one look. once: whether that test found it at the last day.
    missed: whether the true effect was outside of the sequence at any look. reduction: CUPED's.
    """

    found: int | None
    plain: int | None
    peeked: int | None
    once: bool
    missed: bool
    reduction: float


def experiment(salt: str, arms: int = 2) -> Experiment:
    share = 1 / arms
    told = tuple(Arm(name=f"arm{number}", share=share) for number in range(arms))
    return Experiment(name="trial", target=HOME, enabled=True, salt=salt, arms=told)


def arms_of(salt: str, units: int) -> NDArray[np.int64]:
    """Arms by Patron's own draw, shape (units,)."""
    drawn = Experiments.of([experiment(salt)])
    found = [drawn.assigned(HOME, f"customer-{unit}", NOW) for unit in range(units)]
    return np.array([int(each is not None and each.arm == "arm1") for each in found], dtype=np.int64)


def looked_at(shop: Shop, arm: NDArray[np.int64], days: int, effect: float = 0.0) -> Looked:
    """Customers come in evenly over the days, those of arm 1 with an outcome raised by `effect`."""
    outcome = shop.outcome * (1 + effect * arm)
    truth = effect * float(shop.outcome.mean())
    units = len(outcome)
    first: dict[str, int | None] = {"found": None, "plain": None, "peeked": None}
    missed, once, reduction = False, False, 0.0
    for day in range(1, days + 1):
        here = slice(0, units * day // days)
        adjusted = cuped(outcome[here], shop.before[here], arm[here])
        told = {
            name: one(values, arm[here], units)
            for name, values in (("found", adjusted.outcome), ("plain", outcome[here]))
        }
        reduction = adjusted.reduction
        for name, each in told.items():
            if each.interval is not None and not each.interval.low <= 0 <= each.interval.high:
                first[name] = first[name] or day
        seen = told["found"].interval
        missed |= seen is not None and not seen.low <= truth <= seen.high
        once = abs(told["plain"].difference) > ONE_LOOK * told["plain"].standard_error
        if once:
            first["peeked"] = first["peeked"] or day
    return Looked(**first, once=once, missed=missed, reduction=reduction)


def one(values: Floats, arm: NDArray[np.int64], planned: int) -> Any:
    return compare(values, arm, 2, alpha=ALPHA, planned=planned)[0]


def shuffled(shop: Shop, seed: int) -> Shop:
    order = np.random.default_rng(seed).permutation(len(shop.outcome))
    return replace(shop, outcome=shop.outcome[order], before=shop.before[order])


def ratio_looks(salt: str, lost: float, units: int, days: int, seed: int) -> tuple[bool, bool]:
    """Whether any daily look calls the ratio mismatched: (Patron's, a chi-square test at the same level).

    lost: share of the units of arm 1 that never show up.
    """
    arm = arms_of(salt, units)
    there = (arm == 0) | (np.random.default_rng(seed).random(units) >= lost)
    ours = chi = False
    for day in range(1, days + 1):
        here = slice(0, units * day // days)
        counts = np.bincount(arm[here][there[here]], minlength=2).tolist()
        ours |= log_bayes_factor(counts, [0.5, 0.5]) >= log(1 / LEVEL)
        chi |= (counts[0] - counts[1]) ** 2 / max(sum(counts), 1) > 6.634897
    return ours, chi


def costs() -> dict[str, float]:
    """Microseconds of one question for the arm of a visitor, the least of five rounds."""
    found = {}
    for name, here in (
        ("nothing runs", Experiments()),
        ("another placement's runs", Experiments.of([experiment("a")])),
        ("one runs here", Experiments.of([experiment("a")])),
    ):
        target = "placement:cart" if "another" in name else HOME

        def ask(here: Experiments = here, target: str = target) -> None:
            if here.on(target):
                here.assigned(target, "customer-1", NOW)

        found[name] = min(timeit.repeat(ask, number=20_000, repeat=5)) / 20_000 * 1e6
    return found

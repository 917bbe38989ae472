"""A made-up shop: every customer has an own rhythm, some stop for good; rows as the feature store gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import NET, TYPES

NAMES = (*TYPES, *NET)
CUTOFF_DAY = 17_200
HORIZON = 60


@dataclass
class Shop:
    rows: dict[str, NDArray[np.float64]]
    churned: NDArray[np.float64]
    revenue: NDArray[np.float64]
    orders: NDArray[np.float64]


def shop(customers: int = 400, seed: int = 1) -> Shop:
    """Customers as of CUTOFF_DAY and what they did in the HORIZON days after it."""
    rng = np.random.default_rng(seed)
    made = [customer(rng) for _ in range(customers)]
    rows = {
        name: np.array([facts[name] for facts, _, _ in made], dtype=np.float64) for name in (*TYPES, *NET)
    }
    revenue, orders = (np.array([each[index] for each in made], dtype=np.float64) for index in (1, 2))
    return Shop(rows, (orders == 0).astype(np.float64), revenue, orders)


def customer(rng: np.random.Generator) -> tuple[dict[str, float], float, float]:
    """Features, revenue and orders after the cutoff."""
    gap, value = 3 + rng.gamma(1.2, 30), rng.gamma(4, 10)
    first = CUTOFF_DAY - rng.integers(1, 400)
    stops = first + rng.exponential(500)
    days = first + np.concatenate([[0], np.cumsum(np.maximum(1, np.round(rng.gamma(3, gap / 3, 60))))])
    days = days[(days <= stops) & (days < CUTOFF_DAY + HORIZON)]
    spend = rng.gamma(6, value / 6, len(days))
    before = days < CUTOFF_DAY
    return facts(days[before], spend[before]), float(spend[~before].sum()), float((~before).sum())


def facts(days: NDArray[np.float64], spend: NDArray[np.float64]) -> dict[str, float]:
    """Features of one customer with an order of one unit on each of `days`."""
    age, gaps = CUTOFF_DAY - days, np.diff(days)
    mean_gap = gaps.mean() if len(gaps) else np.nan
    found = {
        "orders_total": len(days),
        "purchase_days": len(days),
        "distinct_products": len(days),
        "distinct_categories_365d": 1,
        "first_order_at": days[0] * 86_400,
        "last_order_at": days[-1] * 86_400,
        "spend_total": spend.sum(),
        **dict.fromkeys(("returned_30d", "returned_90d", "returned_365d"), 0),
        "return_share": 0,
        "discount_share": 0,
        "discount_share_90d": 0 if (age <= 90).any() else np.nan,
        "recency_days": age[-1],
        "tenure_days": age[0],
        "mean_gap_days": mean_gap,
        "sd_gap_days": gaps.std(ddof=1) if len(gaps) > 1 else np.nan,
        "last_gap_days": gaps[-1] if len(gaps) else np.nan,
        "recency_to_gap": age[-1] / mean_gap,
        "mean_order_value": spend.mean(),
        "repeat_spend_mean": spend[1:].mean() if len(gaps) else np.nan,
        "units_90d": (age <= 90).sum(),
    }
    for window in (30, 90, 365):
        found[f"orders_{window}d"] = (age <= window).sum()
        found[f"spend_{window}d"] = spend[age <= window].sum()
    found["order_trend"] = 3 * found["orders_30d"] / found["orders_90d"] if found["orders_90d"] else np.nan
    return {name: float(value) for name, value in found.items()}


def head(rows: dict[str, NDArray[np.float64]], customers: int) -> dict[str, NDArray[np.float64]]:
    return {name: column[:customers] for name, column in rows.items()}


def missing(rows: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    return {name: np.full(len(column), np.nan) for name, column in rows.items()}

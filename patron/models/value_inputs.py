"""What the trees of lifetime value read: rates and ratios, that no shop's age changes.

Totals grow with the books: who is known for ten months has spent more than anybody whom the trees saw when
the books were six months old. Spend and orders are therefore told for each day that they cover, and beside
what buy-till-you-die expects.
"""

from __future__ import annotations

import numpy as np

from patron.models import activity
from patron.models.activity import Numbers, column, ratio
from patron.models.base import FeatureRows

PLAIN = (
    *("return_share", "discount_share", "discount_share_90d", "recency_days", "mean_gap_days"),
    *("sd_gap_days", "last_gap_days", "recency_to_gap", "order_trend", "mean_order_value"),
    "repeat_spend_mean",
)
"""Features that are read as they are."""

WINDOWS = (30, 90, 365)

RATES = (
    *(f"orders_a_day_{days}d" for days in WINDOWS),
    *(f"spend_a_day_{days}d" for days in WINDOWS),
    *("spend_a_day", "units_a_day_90d", "returned_a_day_365d", "products_an_order"),
)
"""Features for each day of their window, or of the time since the first order where that is shorter."""

EXPECTED = ("expected_orders", "expected_spend", "expected_value", "spend_to_expected")
"""What buy-till-you-die expects, and how far the last quarter's spend differs from it (a logarithm)."""

NAMES = (*activity.DERIVED, *PLAIN, *RATES, *EXPECTED)


def matrix(rows: FeatureRows, orders: Numbers, spend: Numbers, horizon_days: int, unit: float) -> Numbers:
    """The inputs side by side, shape (customers, NAMES).

    orders, spend: purchase days expected within the horizon and spend of one, shape (customers,). unit: an
    amount of money that is small beside an order.
    """
    expected = orders * spend
    rate = ratio(column(rows, "spend_90d"), days_of(rows, 90)) * horizon_days
    more = {
        **rates(rows),
        "expected_orders": orders,
        "expected_spend": spend,
        "expected_value": expected,
        "spend_to_expected": np.log(np.maximum(rate, 0) + unit) - np.log(expected + unit),
    }
    return activity.matrix(rows, NAMES, **more)


def days_of(rows: FeatureRows, window: float) -> Numbers:
    """Days of the window that a customer was known for, at least one."""
    return np.clip(column(rows, "tenure_days"), 1.0, window)


def rates(rows: FeatureRows) -> dict[str, Numbers]:
    """RATES by name, each of shape (customers,); NaN for who never ordered."""
    found = {
        f"{what}_a_day_{days}d": ratio(column(rows, f"{what}_{days}d"), days_of(rows, days))
        for what in ("orders", "spend")
        for days in WINDOWS
    }
    return found | {
        "spend_a_day": ratio(column(rows, "spend_total"), days_of(rows, np.inf)),
        "units_a_day_90d": ratio(column(rows, "units_90d"), days_of(rows, 90)),
        "returned_a_day_365d": ratio(column(rows, "returned_365d"), days_of(rows, 365)),
        "products_an_order": ratio(column(rows, "distinct_products"), column(rows, "orders_total")),
    }


def growth(rows: FeatureRows) -> Numbers:
    """Spend a day of the last quarter over that of the last year; NaN where nothing was spent in the year."""
    return ratio(
        ratio(column(rows, "spend_90d"), days_of(rows, 90)),
        ratio(column(rows, "spend_365d"), days_of(rows, 365)),
    )

"""Why a customer model said what it said, in the words of whoever runs the shop's CRM.

| code | what it tells | inputs behind it |
| --- | --- | --- |
| recency | how long ago the last order was, beside the usual gap | recency_*, overdue |
| rhythm | how regular the orders are | mean_gap_days, sd_gap_days, last_gap_days, ... |
| frequency | how many orders there were | orders_*, purchase_days, orders_a_month, expected_orders |
| trend | the last months beside the time before | order_trend, spend_trend |
| spend | how much was bought | spend_*, units_90d, mean_order_value, repeat_spend_mean |
| tenure | how long the customer is known | tenure_days |
| variety | how many products and categories | distinct_products, distinct_categories_365d |
| returns | how much came back | returned_365d, return_share |
| discounts | how much was bought at a discount | discount_share, discount_share_90d |
| browsing | how much and how lately the shop's pages were used | those of `browsing` |
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from math import isnan

import numpy as np
from numpy.typing import NDArray

from patron.models import browsing as visits
from patron.models.activity import Numbers, column
from patron.models.base import FeatureRows, Reason

CODES = {
    **dict.fromkeys(("recency_days", "recency_to_gap", "recency_share", "overdue"), "recency"),
    **dict.fromkeys(("mean_gap_days", "sd_gap_days", "last_gap_days", "last_gap_to_gap"), "rhythm"),
    **dict.fromkeys(("orders_30d", "orders_90d", "orders_365d", "orders_total"), "frequency"),
    **dict.fromkeys(("purchase_days", "orders_a_month", "expected_orders"), "frequency"),
    **dict.fromkeys(("order_trend", "spend_trend"), "trend"),
    **dict.fromkeys(("units_90d", "spend_30d", "spend_90d", "spend_365d", "spend_total"), "spend"),
    **dict.fromkeys(("mean_order_value", "repeat_spend_mean", "expected_spend"), "spend"),
    "tenure_days": "tenure",
    **dict.fromkeys(("distinct_products", "distinct_categories_365d"), "variety"),
    **dict.fromkeys(("returned_365d", "return_share"), "returns"),
    **dict.fromkeys(("discount_share", "discount_share_90d"), "discounts"),
    **dict.fromkeys(visits.TYPES, "browsing"),
    **dict.fromkeys(("orders_a_day_30d", "orders_a_day_90d", "orders_a_day_365d"), "frequency"),
    **dict.fromkeys(("spend_a_day_30d", "spend_a_day_90d", "spend_a_day_365d", "spend_a_day"), "spend"),
    **dict.fromkeys(("units_a_day_90d", "expected_value"), "spend"),
    "spend_to_expected": "trend",
    "returned_a_day_365d": "returns",
    "products_an_order": "variety",
}
"""Input -> the code under which it is told."""

Facts = Mapping[str, float]


def reasons(
    rows: FeatureRows, names: Sequence[str], contributions: Numbers, falling: NDArray[np.bool_], limit: int
) -> list[list[Reason]]:
    """For each customer the codes that push hardest, at most `limit`.

    contributions: shape (customers, names). Where `falling`, those that push down come first, else those
    that push up; what pushes the other way is not told.
    """
    codes, member = membership(tuple(names))
    pushes = np.where(falling[:, None], -1.0, 1.0) * (contributions @ member)
    read = READ + BROWSED if "browsing" in codes else READ
    facts = zip(*(column(rows, name).tolist() for name in read), strict=True)
    ordered = np.argsort(-pushes, axis=1, kind="stable")[:, :limit]
    telling = (np.take_along_axis(pushes, ordered, axis=1) > 0).sum(axis=1)
    return [
        told([codes[code] for code in order[:most]], dict(zip(read, each, strict=True)))
        for order, most, each in zip(ordered.tolist(), telling.tolist(), facts, strict=True)
    ]


def of_one(
    facts: Facts, names: Sequence[str], contributions: Numbers, falling: bool, limit: int
) -> list[Reason]:
    """`reasons` of one customer. contributions: shape (names,); not read where `limit` is 0."""
    if not limit:
        return []
    codes, member = membership(tuple(names))
    pushes = ((-1.0 if falling else 1.0) * (contributions @ member)).tolist()
    ordered = sorted(range(len(codes)), key=lambda code: -pushes[code])[:limit]
    return told([codes[code] for code in ordered if pushes[code] > 0], facts)


@functools.cache
def membership(names: tuple[str, ...]) -> tuple[list[str], Numbers]:
    """The codes of these inputs, and which input belongs to which: shape (names, codes)."""
    codes = list(dict.fromkeys(CODES[name] for name in names))
    member = np.array([[CODES[name] == code for code in codes] for name in names], dtype=np.float64)
    return codes, member.reshape(len(names), len(codes))


def told(codes: Sequence[str], facts: Facts) -> list[Reason]:
    """These codes in words. Of two that push alike the first comes first."""
    return [Reason(code, WORDS[code](facts)) for code in codes]


def count(number: float, one: str, many: str | None = None) -> str:
    """'1 order', '3 orders'; a missing number counts as 0."""
    return counted(0 if isnan(number) else round(number), one, many)


@functools.lru_cache(maxsize=8192)
def counted(whole: int, one: str, many: str | None) -> str:
    return f"{whole:,} {one if whole == 1 else many or one + 's'}"


def money(number: float) -> str:
    return f"{0 if isnan(number) else number:,.0f}"


def share(number: float) -> str:
    return f"{0 if isnan(number) else number:.0%}"


def recency(facts: Facts) -> str:
    if isnan(facts["recency_days"]):
        return "no order yet"
    last = f"last order {count(facts['recency_days'], 'day')} ago"
    gap = facts["mean_gap_days"]
    return f"{last}, no second one so far" if isnan(gap) else f"{last}, usually every {max(1, round(gap))}"


def rhythm(facts: Facts) -> str:
    if isnan(facts["mean_gap_days"]):
        return "bought on one day only"
    return (
        f"orders every {count(facts['mean_gap_days'], 'day')} on average, "
        f"the last one after {count(facts['last_gap_days'], 'day')}"
    )


def frequency(facts: Facts) -> str:
    year, quarter = count(facts["orders_365d"], "order"), count(facts["orders_90d"], "order")
    return f"{year} in the last year, {quarter} in 90 days"


def trend(facts: Facts) -> str:
    return (
        f"{count(facts['orders_30d'], 'order')} in the last 30 days, "
        f"{count(facts['orders_90d'] - facts['orders_30d'], 'order')} in the 60 days before"
    )


def spend(facts: Facts) -> str:
    return (
        f"spent {money(facts['spend_365d'])} in the last year, {money(facts['spend_90d'])} of it in 90 days"
    )


def tenure(facts: Facts) -> str:
    return f"first order {count(facts['tenure_days'], 'day')} ago"


def variety(facts: Facts) -> str:
    return f"bought {count(facts['distinct_products'], 'different product')}"


def returns(facts: Facts) -> str:
    returned = facts["return_share"]
    return f"returned {share(returned)} of what was bought" if returned > 0 else "returned nothing"


def discounts(facts: Facts) -> str:
    off = facts["discount_share"]
    return f"bought at {share(off)} off on average" if off > 0 else "never bought at a discount"


def browsing(facts: Facts) -> str:
    days = facts[visits.LAST]
    if isnan(days) or days >= 7:
        return f"looked at nothing for {count(visits.DAYS if isnan(days) else days, 'day')}"
    week, month = (count(facts[f"views_{each}d"], "product view") for each in (7, 30))
    return f"{week} in the last 7 days, {month} in 30 days"


WORDS: dict[str, Callable[[Facts], str]] = {
    "recency": recency,
    "rhythm": rhythm,
    "frequency": frequency,
    "trend": trend,
    "spend": spend,
    "tenure": tenure,
    "variety": variety,
    "returns": returns,
    "discounts": discounts,
    "browsing": browsing,
}

READ = (
    *("recency_days", "mean_gap_days", "last_gap_days", "orders_30d", "orders_90d", "orders_365d"),
    *("spend_90d", "spend_365d", "tenure_days", "distinct_products", "return_share", "discount_share"),
)
"""The features that the words quote..."""
BROWSED = ("views_7d", "views_30d", visits.LAST)
"""...and those of a model that reads browsing."""

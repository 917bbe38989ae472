"""Customer habits: at which times of day and of the week somebody orders, and how dear what they take is.

Times are those of the shop's own clock; a shop that tells days alone has no times of day. How dear a product
is, is its rank by mean price among the products of its category that were sold before the cutoff: 0 the
cheapest, 1 the dearest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.customer_activity import ratio
from features.local_time import local, weekday
from features.staging import Staged, before
from features.view import DAY, FieldType, View

if TYPE_CHECKING:
    import ibis

HOURS = {"morning": (5, 11), "afternoon": (11, 17), "evening": (17, 22)}
"""Time of day -> the hours that it has, the last not included; the rest is night."""
SATURDAY = 5
PARTS = 1_000_000
"""Ranks are whole millionths, so that their sums are exact."""
FIELDS: dict[str, FieldType] = dict.fromkeys(
    (*(f"{name}_share" for name in (*HOURS, "night")), "weekend_share", "price_percentile"), "Float64"
)


def times(moments: ibis.Table, time_zone: str, cutoff: int) -> ibis.Table:
    """Orders of each customer by time of day and of the week; an order is of its first second.

    `timed` is how many of them have a time of day: 0 where every order of the shop has none.
    """
    import ibis

    bought = moments.filter(moments.is_order)
    orders = bought.group_by("customer_id", "order_id").agg(at=bought["at"].min())
    orders = orders.mutate(seconds=local(orders["at"], time_zone, cutoff))
    orders = orders.mutate(day=(orders.seconds // DAY).cast("int64"))
    orders = orders.mutate(second=orders.seconds - orders.day * DAY)
    within = {
        name: (orders.second >= first * 3600) & (orders.second < last * 3600)
        for name, (first, last) in HOURS.items()
    }
    counted = orders.group_by("customer_id").agg(
        orders=orders.count(),
        by_clock=orders.count(where=orders.second != 0),
        by_utc=orders.count(where=orders["at"] % DAY != 0),
        weekend=orders.count(where=weekday(orders.day) >= SATURDAY),
        **{name: orders.count(where=inside) for name, inside in within.items()},
    )
    return counted.mutate(timed=ibis.ifelse(dated(counted), 0, counted.orders))


def dated(counted: ibis.Table) -> ibis.BooleanValue:
    """Whether the shop tells days alone: every order is of midnight, on its clock or in UTC as imported."""
    return (counted.by_clock.max().over() == 0) | (counted.by_utc.max().over() == 0)


def ranks(sold: ibis.Table) -> ibis.Table:
    """The price rank of each product in its category, in millionths; equal prices share their mean rank.

    Products without a category are one of their own. Where a category sold a single product, it has no rank.
    """
    import ibis

    made = sold.group_by("product_id", group=ibis.coalesce(sold.category, "")).agg(
        paid=sold.paid_cents.sum().cast("int64"), units=sold.units_milli.sum().cast("int64")
    )
    made = made.filter(made.units > 0)
    made = made.mutate(price=(ibis.greatest(made.paid, 0) * 100_000 // made.units).cast("int64"))
    category = ibis.window(group_by="group")
    made = made.mutate(
        others=made.count().over(category) - 1,
        cheaper=ibis.rank().over(ibis.window(group_by="group", order_by="price")),
        alike=made.count().over(ibis.window(group_by=["group", "price"])) - 1,
    )
    made = made.filter(made.others > 0)
    doubled = (made.cheaper * 2 + made.alike).cast("int64")
    return made.select("product_id", rank=(doubled * (PARTS // 2) // made.others).cast("int64"))


def prices(lines: ibis.Table) -> ibis.Table:
    """Sum of the ranks of the lines that each customer bought, and how many lines those are."""
    sold = lines.filter(~lines.is_return, lines.visible)
    mine = sold.filter(sold.customer_id.notnull()).select("customer_id", "product_id")
    ranked = mine.inner_join(ranks(sold), "product_id")
    return ranked.group_by("customer_id").agg(ranked=ranked.count(), rank=ranked["rank"].sum().cast("int64"))


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    """One row for each customer with an order before the cutoff."""
    counted = times(before(staged.moments, cutoff), staged.time_zone, cutoff)
    found = counted.left_join(prices(before(staged.lines, cutoff)), "customer_id")
    by_day = sum((found[name] for name in HOURS), start=found.timed * 0)
    return found.select(
        "customer_id",
        **{f"{name}_share": ratio(found[name], found.timed) for name in HOURS},
        night_share=ratio(found.timed - by_day, found.timed),
        weekend_share=ratio(found.weekend, found.orders),
        price_percentile=ratio(found["rank"], found.ranked * PARTS),
    )


VIEW = View(
    name="customer_habits",
    entity="customer",
    fields=FIELDS,
    snapshot=snapshot,
    description="Times of day and weekends of a customer's orders, by the shop's clock, and how dear what "
    "they buy is within its category.",
    tables=("order_lines", "products"),
    local=True,
)

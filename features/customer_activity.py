"""Customer activity: recency, frequency, money, returns, discounts, inter-purchase times, trend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.staging import Staged, before
from features.view import DAY, WINDOWS, FieldType, View

if TYPE_CHECKING:
    import ibis


def fields() -> dict[str, FieldType]:
    windowed: dict[str, FieldType] = {}
    for days in WINDOWS:
        windowed |= {
            f"orders_{days}d": "Int64",
            f"units_{days}d": "Float64",
            f"spend_{days}d": "Float64",
            f"returned_{days}d": "Float64",
            f"discount_share_{days}d": "Float64",
        }
    floats = (
        "units_total spend_total returned_total return_share discount_share recency_days tenure_days "
        "mean_gap_days sd_gap_days last_gap_days recency_to_gap order_trend mean_order_value "
        "repeat_spend_mean"
    )
    integers = (
        "orders_total purchase_days distinct_products distinct_categories_365d first_order_at last_order_at"
    )
    return windowed | dict.fromkeys(floats.split(), "Float64") | dict.fromkeys(integers.split(), "Int64")


def ratio(above: ibis.Value, below: ibis.Value) -> ibis.Value:
    """Integers divided as float64; null where there is nothing below."""
    return above.cast("float64") / below.nullif(0).cast("float64")


def totals(moments: ibis.Table, cutoff: int) -> ibis.Table:
    """Sums and counts of each customer, over everything and over each window."""
    found = {
        "orders_total": moments.order_id.nunique(where=moments.is_order),
        "first_at": moments["at"].min(where=moments.is_order),
        "last_at": moments["at"].max(where=moments.is_order),
    }
    for name in ("units_milli", "gross_cents", "paid_cents", "returned_cents"):
        found[name] = moments[name].sum().cast("int64")
    for days in WINDOWS:
        within = moments["at"] >= cutoff - days * DAY
        found[f"orders_{days}d"] = moments.order_id.nunique(where=within & moments.is_order)
        for name in ("units_milli", "gross_cents", "paid_cents", "returned_cents"):
            found[f"{name}_{days}d"] = moments[name].sum(where=within).fill_null(0).cast("int64")
    return moments.group_by("customer_id").agg(**found)


def rhythm(moments: ibis.Table) -> ibis.Table:
    """Purchase days of each customer and the gaps between them, in whole days."""
    import ibis

    daily = moments.filter(moments.is_order)
    days = daily.group_by("customer_id", day=(daily["at"] // DAY).cast("int64")).agg(
        paid_cents=daily.paid_cents.sum().cast("int64")
    )
    in_order = ibis.window(group_by="customer_id", order_by="day")
    days = days.mutate(gap=days.day - days.day.lag().over(in_order), place=ibis.row_number().over(in_order))
    last = days.day.max().over(ibis.window(group_by="customer_id"))
    days = days.mutate(is_last=days.day == last)
    return days.group_by("customer_id").agg(
        purchase_days=days.count(),
        gaps=days.gap.sum().cast("int64"),
        squared_gaps=(days.gap * days.gap).sum().cast("int64"),
        last_gap=days.gap.max(where=days.is_last),
        repeat_cents=days.paid_cents.sum(where=days.place > 0).fill_null(0).cast("int64"),
    )


def breadth(lines: ibis.Table, cutoff: int) -> ibis.Table:
    """How many different products, and recently categories, each customer bought."""
    bought = lines.filter(~lines.is_return, lines.customer_id.notnull())
    recent = bought["at"] >= cutoff - 365 * DAY
    return bought.group_by("customer_id").agg(
        distinct_products=bought.product_id.nunique(),
        distinct_categories_365d=bought.category.nunique(where=recent),
    )


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    """One row for each customer with an order before the cutoff."""
    moments = before(staged.moments, cutoff)
    joined = (
        totals(moments, cutoff)
        .inner_join(rhythm(moments), "customer_id")
        .inner_join(breadth(before(staged.lines, cutoff), cutoff), "customer_id")
    )
    windowed: dict[str, ibis.Value] = {}
    for days in WINDOWS:
        gross, paid = joined[f"gross_cents_{days}d"], joined[f"paid_cents_{days}d"]
        windowed |= {
            f"orders_{days}d": joined[f"orders_{days}d"],
            f"units_{days}d": joined[f"units_milli_{days}d"].cast("float64") / 1000.0,
            f"spend_{days}d": paid.cast("float64") / 100.0,
            f"returned_{days}d": joined[f"returned_cents_{days}d"].cast("float64") / 100.0,
            f"discount_share_{days}d": ratio(gross - paid, gross),
        }
    gaps = joined.purchase_days - 1
    spread = gaps * joined.squared_gaps - joined.gaps * joined.gaps
    recency = cutoff - joined.last_at
    return joined.select(
        "customer_id",
        **windowed,
        orders_total=joined.orders_total,
        units_total=joined.units_milli.cast("float64") / 1000.0,
        spend_total=joined.paid_cents.cast("float64") / 100.0,
        returned_total=joined.returned_cents.cast("float64") / 100.0,
        return_share=ratio(joined.returned_cents, joined.paid_cents),
        discount_share=ratio(joined.gross_cents - joined.paid_cents, joined.gross_cents),
        recency_days=recency.cast("float64") / float(DAY),
        tenure_days=(cutoff - joined.first_at).cast("float64") / float(DAY),
        purchase_days=joined.purchase_days,
        mean_gap_days=ratio(joined.gaps, gaps),
        sd_gap_days=ratio(spread, gaps * (gaps - 1)).sqrt(),
        last_gap_days=joined.last_gap.cast("float64"),
        recency_to_gap=ratio(recency * gaps, joined.gaps * DAY),
        order_trend=ratio(joined.orders_30d * 3, joined.orders_90d),
        mean_order_value=ratio(joined.paid_cents, joined.orders_total * 100),
        repeat_spend_mean=ratio(joined.repeat_cents, gaps * 100),
        distinct_products=joined.distinct_products,
        distinct_categories_365d=joined.distinct_categories_365d,
        first_order_at=joined.first_at,
        last_order_at=joined.last_at,
    )


VIEW = View(
    name="customer_activity",
    entity="customer",
    fields=fields(),
    snapshot=snapshot,
    description="Recency, frequency, money, returns, discounts, inter-purchase times and trend.",
)

"""Product popularity over windows: buyers, orders, units, revenue, age and price."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.customer_activity import ratio
from features.staging import Staged, before
from features.view import DAY, WINDOWS, FieldType, View

if TYPE_CHECKING:
    import ibis


def fields() -> dict[str, FieldType]:
    windowed: dict[str, FieldType] = {}
    for days in WINDOWS:
        windowed |= {
            f"buyers_{days}d": "Int64",
            f"product_orders_{days}d": "Int64",
            f"product_units_{days}d": "Float64",
            f"revenue_{days}d": "Float64",
        }
    return windowed | dict.fromkeys(
        ("days_since_first_sold", "days_since_last_sold", "mean_price_90d"), "Float64"
    )


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    """One row for each product sold before the cutoff, to guests too; buyers are known customers."""
    known = before(staged.lines, cutoff)
    sold = known.filter(~known.is_return)
    found = {"first": sold["at"].min(), "last": sold["at"].max()}
    for days in WINDOWS:
        within = sold["at"] >= cutoff - days * DAY
        found[f"buyers_{days}d"] = sold.customer_id.nunique(where=within)
        found[f"product_orders_{days}d"] = sold.order_id.nunique(where=within)
        for name in ("units_milli", "paid_cents"):
            found[f"{name}_{days}d"] = sold[name].sum(where=within).fill_null(0).cast("int64")
    counted = sold.group_by("product_id").agg(**found)
    windowed: dict[str, ibis.Value] = {}
    for days in WINDOWS:
        windowed |= {
            f"buyers_{days}d": counted[f"buyers_{days}d"],
            f"product_orders_{days}d": counted[f"product_orders_{days}d"],
            f"product_units_{days}d": counted[f"units_milli_{days}d"].cast("float64") / 1000.0,
            f"revenue_{days}d": counted[f"paid_cents_{days}d"].cast("float64") / 100.0,
        }
    return counted.select(
        "product_id",
        **windowed,
        days_since_first_sold=(cutoff - counted["first"]).cast("float64") / float(DAY),
        days_since_last_sold=(cutoff - counted["last"]).cast("float64") / float(DAY),
        mean_price_90d=ratio(counted.paid_cents_90d * 10, counted.units_milli_90d),
    )


VIEW = View(
    name="product_popularity",
    entity="product",
    fields=fields(),
    snapshot=snapshot,
    description="Buyers, orders, units and revenue of a product over windows, its age and its price.",
    recent=True,
)

"""What every feature is, in plain Python over all order lines: slow, obvious, and apart from the room's code.

Amounts are integers (cents, thousandths of a unit, whole seconds) up to the last step, which is one division.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from math import floor, sqrt
from typing import Any

Line = dict[str, Any]

DAY = 86_400
WINDOWS = (7, 30, 90, 365)


class Shop:
    """Order lines as integers, with what the catalogue says of their product."""

    def __init__(self, order_lines: Iterable[Line], products: Iterable[Line] = (), **_: Any) -> None:
        catalogue = {each["product_id"]: each for each in products}
        self.lines = [amounts(each, catalogue.get(each["product_id"], {})) for each in order_lines]

    def known(self, cutoff: int) -> list[Line]:
        """Lines that happened before the cutoff and, where an arrival is told, arrived before it."""
        return [
            each
            for each in self.lines
            if each["at"] < cutoff and (each["arrived"] is None or each["arrived"] < cutoff)
        ]

    def by_customer(self, cutoff: int) -> dict[str, list[Line]]:
        """Known lines of each customer who has one; guests belong to nobody."""
        found: dict[str, list[Line]] = {}
        for each in self.known(cutoff):
            if each["customer"] is not None:
                found.setdefault(each["customer"], []).append(each)
        return found


def amounts(row: Line, product: Line) -> Line:
    quantity = Decimal(str(row["quantity"]))
    gross = quantity * Decimal(str(row["unit_price"]))
    arrived = row.get("ingested_at")
    return {
        "customer": row["customer_id"],
        "order": row["order_id"],
        "product": row["product_id"],
        "category": product.get("category"),
        "brand": product.get("brand"),
        "visible": product.get("visible", True),
        "at": seconds(row["ordered_at"]),
        "arrived": None if arrived is None else seconds(arrived),
        "milli": int(quantity * 1000),
        "gross": cents(gross),
        "paid": cents(gross - Decimal(str(row.get("discount") or 0))),
        "is_return": quantity < 0,
    }


def seconds(moment: datetime) -> int:
    return floor(moment.timestamp())


def cents(amount: Decimal) -> int:
    return int(amount.quantize(Decimal("0.01"), ROUND_HALF_UP) * 100)


def ratio(above: int, below: int) -> float | None:
    return float(above) / float(below) if below else None


def customer_activity(lines: list[Line], cutoff: int) -> dict[str, Any] | None:
    """Features of one customer's known lines; None without an order (returns alone are no order)."""
    bought = [each for each in lines if not each["is_return"]]
    if not bought:
        return None
    found: dict[str, Any] = {}
    for days in WINDOWS:
        within = [each for each in lines if each["at"] >= cutoff - days * DAY]
        for name, value in money(within).items():
            found[f"{name}_{days}d"] = value
    total = money(lines)
    orders = total.pop("orders")
    returned, share = total.pop("returned"), total.pop("discount_share")
    found |= {"orders_total": orders, "units_total": total["units"], "spend_total": total["spend"]}
    found |= {"returned_total": returned, "discount_share": share}
    paid = sum(each["paid"] for each in bought)
    back = -sum(each["paid"] for each in lines if each["is_return"])
    first, last = min(each["at"] for each in bought), max(each["at"] for each in bought)
    found |= {
        "return_share": ratio(back, paid),
        "recency_days": (cutoff - last) / DAY,
        "tenure_days": (cutoff - first) / DAY,
        "order_trend": ratio(found["orders_30d"] * 3, found["orders_90d"]),
        "mean_order_value": ratio(paid, orders * 100),
        "distinct_products": len({each["product"] for each in bought}),
        "distinct_categories_365d": len(
            {
                each["category"]
                for each in bought
                if each["category"] is not None and each["at"] >= cutoff - 365 * DAY
            }
        ),
        "first_order_at": first,
        "last_order_at": last,
    }
    return found | rhythm(bought, cutoff - last)


def money(lines: list[Line]) -> dict[str, Any]:
    bought = [each for each in lines if not each["is_return"]]
    gross, paid = sum(each["gross"] for each in bought), sum(each["paid"] for each in bought)
    return {
        "orders": len({each["order"] for each in bought}),
        "units": sum(each["milli"] for each in bought) / 1000,
        "spend": paid / 100,
        "returned": -sum(each["paid"] for each in lines if each["is_return"]) / 100,
        "discount_share": ratio(gross - paid, gross),
    }


def rhythm(bought: list[Line], recency: int) -> dict[str, Any]:
    """Gaps between days with a purchase; the standard deviation is the sample's."""
    days = sorted({each["at"] // DAY for each in bought})
    gaps = [later - earlier for earlier, later in pairwise(days)]
    n = len(gaps)
    variance = ratio(n * sum(gap * gap for gap in gaps) - sum(gaps) ** 2, n * (n - 1))
    repeated = sum(each["paid"] for each in bought if each["at"] // DAY != days[0])
    return {
        "purchase_days": len(days),
        "mean_gap_days": ratio(sum(gaps), n),
        "sd_gap_days": None if variance is None else sqrt(variance),
        "last_gap_days": float(gaps[-1]) if gaps else None,
        "recency_to_gap": ratio(recency * n, sum(gaps) * DAY),
        "repeat_spend_mean": ratio(repeated, n * 100),
    }


def purchase_history(lines: list[Line], cutoff: int) -> dict[str, Any] | None:
    """The last 100 lines bought of what is on sale; the same second goes by order id, then product id."""
    bought = sorted(
        (each["at"], each["order"], each["product"])
        for each in lines
        if not each["is_return"] and each["visible"]
    )[-100:]
    if not bought:
        return None
    return {
        "history_product_ids": [product for _, _, product in bought],
        "history_bought_at": [at for at, _, _ in bought],
    }


def affinity(lines: list[Line], cutoff: int, thing: str, prefix: str, limit: int) -> dict[str, Any] | None:
    """Things bought, the most recent last: distinct orders, age, and the mean interval between orders."""
    bought: dict[str, list[Line]] = {}
    for each in lines:
        if not each["is_return"] and each["visible"] and each[thing] is not None:
            bought.setdefault(each[thing], []).append(each)
    latest = sorted((max(each["at"] for each in own), name) for name, own in bought.items())[-limit:]
    if not latest:
        return None
    intervals, times = [], []
    for last, name in latest:
        orders = len({each["order"] for each in bought[name]})
        first = min(each["at"] for each in bought[name])
        times.append(orders)
        intervals.append((last - first) // (orders - 1) / DAY if orders > 1 else -1.0)
    return {
        f"{prefix}_times_bought": times,
        f"{prefix}_days_since": [(cutoff - last) / DAY for last, _ in latest],
        f"{prefix}_interval_days": intervals,
        "own_product_ids" if prefix == "own" else f"{prefix}_names": [name for _, name in latest],
    }


def customer_product_affinity(lines: list[Line], cutoff: int) -> dict[str, Any] | None:
    found = affinity(lines, cutoff, "product", "own", 300)
    return found and found | {
        f"own_times_{days}d": [
            len({each["order"] for each in lines if lately(each, cutoff, days) and each["product"] == name})
            for name in found["own_product_ids"]
        ]
        for days in (28, 91)
    }


def lately(line: Line, cutoff: int, days: int) -> bool:
    return not line["is_return"] and line["visible"] and cutoff - days * DAY <= line["at"]


def customer_category_affinity(lines: list[Line], cutoff: int) -> dict[str, Any] | None:
    return affinity(lines, cutoff, "category", "category", 100)


def customer_brand_affinity(lines: list[Line], cutoff: int) -> dict[str, Any] | None:
    return affinity(lines, cutoff, "brand", "brand", 100)


CUSTOMER_VIEWS = (
    customer_activity,
    purchase_history,
    customer_product_affinity,
    customer_category_affinity,
    customer_brand_affinity,
)


def product_popularity(shop: Shop, cutoff: int) -> dict[str, dict[str, Any]]:
    """Features of each product sold before the cutoff. Guests' orders count, guests are no buyers."""
    sold: dict[str, list[Line]] = {}
    for each in shop.known(cutoff):
        if not each["is_return"]:
            sold.setdefault(each["product"], []).append(each)
    return {product: popularity(lines, cutoff) for product, lines in sold.items()}


def popularity(lines: list[Line], cutoff: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for days in WINDOWS:
        within = [each for each in lines if each["at"] >= cutoff - days * DAY]
        found[f"buyers_{days}d"] = len({each["customer"] for each in within} - {None})
        found[f"product_orders_{days}d"] = len({each["order"] for each in within})
        found[f"product_units_{days}d"] = sum(each["milli"] for each in within) / 1000
        found[f"revenue_{days}d"] = sum(each["paid"] for each in within) / 100
    recent = [each for each in lines if each["at"] >= cutoff - 90 * DAY]
    paid, milli = sum(each["paid"] for each in recent), sum(each["milli"] for each in recent)
    return found | {
        "days_since_first_sold": (cutoff - min(each["at"] for each in lines)) / DAY,
        "days_since_last_sold": (cutoff - max(each["at"] for each in lines)) / DAY,
        "mean_price_90d": ratio(paid * 10, milli),
    }

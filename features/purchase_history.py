"""Purchase history: the last lines that a customer bought, in order, repeats kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features import lists
from features.staging import Staged, before
from features.view import View

if TYPE_CHECKING:
    import ibis

LENGTH = 100


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    """Lines of the same second stand in the order of their order id, then product id."""
    lines = before(staged.lines, cutoff)
    bought = lines.filter(~lines.is_return, lines.visible, lines.customer_id.notnull())
    kept = lists.newest_last(bought, "customer_id", ["at", "order_id", "product_id"], LENGTH)
    return kept.group_by("customer_id").agg(
        history_product_ids=lists.strings(kept.rank, kept.product_id),
        history_bought_at=lists.integers(kept.rank, kept["at"]),
    )


VIEW = View(
    name="purchase_history",
    entity="customer",
    fields={"history_product_ids": "Array(String)", "history_bought_at": "Array(Int64)"},
    snapshot=snapshot,
    description=f"The last {LENGTH} lines that a customer bought, oldest first.",
    recent=True,
)

"""Customer-product affinity: times bought, days since, own interval of each product a customer buys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.affinity import affinity
from features.staging import Staged
from features.view import View

if TYPE_CHECKING:
    import ibis

LENGTH = 300
NAMES = ("own_product_ids", "own_times_bought", "own_days_since", "own_interval_days")


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    return affinity(staged, cutoff, "product_id", NAMES, LENGTH)


VIEW = View(
    name="customer_product_affinity",
    entity="customer",
    fields=dict(
        zip(NAMES, ("Array(String)", "Array(Int64)", "Array(Float64)", "Array(Float64)"), strict=True)
    ),
    snapshot=snapshot,
    description=f"Up to {LENGTH} products that a customer bought, the most recently bought last; -1 where "
    "a product was bought once and so has no interval.",
    recent=True,
)

"""Customer-product affinity: times bought, also lately, days since and own interval of each product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.affinity import affinity
from features.staging import Staged
from features.view import View

if TYPE_CHECKING:
    import ibis

LENGTH = 300
NAMES = ("own_product_ids", "own_times_bought", "own_days_since", "own_interval_days")
LATELY = {"own_times_28d": 28, "own_times_91d": 91}


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    return affinity(staged, cutoff, "product_id", NAMES, LENGTH, LATELY)


VIEW = View(
    name="customer_product_affinity",
    entity="customer",
    fields={
        "own_product_ids": "Array(String)",
        "own_times_bought": "Array(Int64)",
        "own_days_since": "Array(Float64)",
        "own_interval_days": "Array(Float64)",
        "own_times_28d": "Array(Int64)",
        "own_times_91d": "Array(Int64)",
    },
    snapshot=snapshot,
    description=f"Up to {LENGTH} products that a customer bought, the most recently bought last; -1 where "
    "a product was bought once and so has no interval.",
    recent=True,
)

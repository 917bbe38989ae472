"""Customer-brand affinity: times bought, days since, own interval of each brand a customer buys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.affinity import affinity
from features.staging import Staged
from features.view import View

if TYPE_CHECKING:
    import ibis

LENGTH = 100
NAMES = ("brand_names", "brand_times_bought", "brand_days_since", "brand_interval_days")


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    return affinity(staged, cutoff, "brand", NAMES, LENGTH)


VIEW = View(
    name="customer_brand_affinity",
    entity="customer",
    fields=dict(
        zip(NAMES, ("Array(String)", "Array(Int64)", "Array(Float64)", "Array(Float64)"), strict=True)
    ),
    snapshot=snapshot,
    description=f"Up to {LENGTH} brands that a customer bought, the most recent last.",
    recent=True,
)

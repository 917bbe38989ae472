"""Customer-category affinity: times bought, days since, own interval of each category a customer buys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.affinity import affinity
from features.staging import Staged
from features.view import View

if TYPE_CHECKING:
    import ibis

LENGTH = 100
NAMES = ("category_names", "category_times_bought", "category_days_since", "category_interval_days")


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    return affinity(staged, cutoff, "category", NAMES, LENGTH)


VIEW = View(
    name="customer_category_affinity",
    entity="customer",
    fields=dict(
        zip(NAMES, ("Array(String)", "Array(Int64)", "Array(Float64)", "Array(Float64)"), strict=True)
    ),
    snapshot=snapshot,
    description=f"Up to {LENGTH} categories that a customer bought from, the most recent last.",
    recent=True,
)

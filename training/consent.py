"""Customers who do not want models to learn from them: no job reads what they did."""

from __future__ import annotations

import pyarrow.compute as pc
import pyarrow.parquet as pq

from patron.lake.tables import Lake
from patron.settings import Settings


def withheld(settings: Settings) -> set[str]:
    """Ids of the customers whose `consent_training` is false; who has not said anything has not refused."""
    found: set[str] = set()
    for path in Lake(settings.lake).files("customers"):
        rows = pq.read_table(path, columns=["customer_id", "consent_training"])
        refused = rows.filter(pc.equal(rows["consent_training"], False))
        found.update(refused["customer_id"].to_pylist())
    return found

"""Parts that answer from what a test says, so that one thing at a time can go wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from features.rows import Rows, column
from features.views import offered
from patron.models.base import Reason
from patron.settings import load_settings
from serving.bootstrap import Parts, Served, opened

AS_OF = datetime(2024, 7, 1, tzinfo=UTC)


@dataclass
class FakeFeatures:
    """Customers -> bare feature name -> value. `error` is raised, `delay` slept, by every read."""

    customers: Mapping[str, Mapping[str, Any]]
    error: Exception | None = None
    delay: float = 0.0
    as_of: datetime | None = AS_OF

    def offered_references(self) -> set[str]:
        return set(offered())

    def read(self, ids: Sequence[str], references: Sequence[str]) -> Rows:
        time.sleep(self.delay)
        if self.error:
            raise self.error
        names = {each: each.split(":")[1] for each in references}
        columns = {
            name: column([self.customers.get(one, {}).get(name) for one in ids], offered()[reference])
            for reference, name in names.items()
        }
        return Rows(list(ids), columns, np.array([each in self.customers for each in ids]), self.as_of)


class FakeChurn:
    """The probability is the feature `return_share`; nobody is without history."""

    references: ClassVar = {
        "customer_activity:return_share": "Float64",
        "customer_activity:orders_total": "Int64",
    }
    horizon_days = 30

    def statuses(self, rows: Any) -> Any:
        return np.full(len(rows["return_share"]), "scored")

    def predict(self, rows: Any) -> Any:
        return rows["return_share"]

    def next_order_days(self, rows: Any) -> Any:
        return np.full(len(rows["return_share"]), 7.5)

    def risks(self, probabilities: Any) -> Any:
        return np.where(probabilities > 0.5, "high", "low")

    def reasons(self, rows: Any, limit: int) -> list[list[Reason]]:
        return [[Reason("recency", "last order 3 days ago")] for _ in rows["return_share"]]


def parts_of(home: Path, features: FakeFeatures | None = None, **models: Any) -> Parts:
    """Parts over fakes; `models`: `churn=FakeChurn()`."""
    settings = load_settings(
        home=home,
        clock="data",
        online_store="sqlite",  # whose reads may take long, as those of the fake may
        max_body_bytes=2048,
        request_timeout_seconds=0.5,
        personal_budget_seconds=0.2,
        fallback_budget_seconds=0.05,
        cors_origins=["https://shop.example"],
    )
    served = {f"patron-{name}": Served(f"patron-{name}", "7", model) for name, model in models.items()}
    return Parts(**opened(settings), features=features, models=served)


@dataclass
class FakeSegments:
    references: Mapping[str, str] = field(default_factory=lambda: {"customer_activity:orders_total": "Int64"})

    def segment(self, rows: Any) -> Any:
        return np.where(rows["orders_total"] > 5, "champions", "new")

    def stage(self, rows: Any) -> Any:
        return np.where(rows["orders_total"] > 5, "mature", "new")

"""Tables of scores: one customer and many alike, also where a model reads what customers browse."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
import pytest

from features.rows import Rows
from patron.models import browsing
from patron.models.churn import Churn, ChurnConfig
from serving.bootstrap import Served
from serving.scoring import churn_table
from tests.patron.models.shop import HORIZON, shop

AS_OF = datetime(2024, 1, 1, tzinfo=UTC)


def rows_of(customers: int, seed: int) -> tuple[Rows, np.ndarray]:
    """Customers of whom one in three browsed; the last three looked around and never ordered."""
    made, rng = shop(customers, seed), np.random.default_rng(seed)
    columns = dict(made.rows)
    for name in browsing.TYPES:
        columns[name] = np.where(rng.random(customers) < 0.33, rng.integers(0, 9, customers), np.nan)
    for name in made.rows:
        columns[name][-3:] = np.nan
    ids = [f"c{each}" for each in range(customers)]
    return Rows(ids, columns, np.ones(customers, dtype=bool), AS_OF), made.churned


@pytest.mark.parametrize("kind", ["mixed", "lightgbm", "logistic", "recency"])
@pytest.mark.parametrize("read", [(), tuple(browsing.TYPES)])
def test_one_customer_is_scored_as_among_many(kind: str, read: tuple[str, ...]) -> None:
    rows, churned = rows_of(150, seed=1)
    model = Churn(ChurnConfig(kind=kind, trees=20))
    model.browsing = read
    model.fit(rows.columns, churned, HORIZON, seed=1).calibrate(rows.columns, churned)
    served = Served("patron-churn", "1", model)
    many = asdict(churn_table(served, rows))
    assert set(many["status"][-3:]) == {"unknown"}
    assert any("browsing" in {each["code"] for each in told} for told in many["reasons"]) == (
        bool(read) and kind != "recency"
    )
    for place in range(len(rows)):
        one = asdict(churn_table(served, rows.take(np.array([place]))))
        assert one == {name: values[place : place + 1] for name, values in many.items()}

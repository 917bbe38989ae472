"""What happens, or arrives, at or after a cutoff never changes what training sees at that cutoff."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features import customer_activity, product_popularity, purchase_history
from features.build import build
from features.offline import historical
from features.rows import Rows
from features.views import VIEWS
from patron.settings import Settings
from tests.features.snapshots import START, built, day, rows_of, settings_of, snapshot_of
from tests.shops import line, random_shop, write_lake

REFERENCES = [
    ref for view in VIEWS if view.historical and view.entity == "customer" for ref in view.references
]
CUTOFFS = [START + timedelta(days=each) for each in (70, 100, 130)]


def matrix(settings: Settings, customers: list[str]) -> Rows:
    pairs = [(customer, cutoff) for cutoff in CUTOFFS for customer in customers]
    return historical(settings, *map(list, zip(*pairs, strict=True)), REFERENCES)


def content(rows: Rows) -> dict[str, Any]:
    """Every value's bytes."""
    return {
        name: values.tobytes()
        if values.dtype.kind == "f"
        else [each.tobytes() if isinstance(each, np.ndarray) else each for each in values]
        for name, values in rows.columns.items()
    }


def test_later_rows_leave_older_training_matrices_byte_identical(tmp_path: Path) -> None:
    shop = random_shop(customers=25, products=12, days=130, start=START)
    early = [each for each in shop["order_lines"] if each["ordered_at"] < CUTOFFS[-1]]
    customers = sorted({each["customer_id"] for each in early} - {None})
    before = matrix(built(tmp_path, CUTOFFS, **shop | {"order_lines": early}), customers)
    at_cutoff = [line(each, "p01", CUTOFFS[-1], 9) for each in customers[:5]]
    guests = [line(None, "p01", CUTOFFS[-1] + timedelta(days=1), 9)]
    late = [
        line(customers[1], "p02", START + timedelta(days=20), 9, ingested_at=CUTOFFS[-1]),
        line(
            customers[1], "p02", START + timedelta(days=21), -9, ingested_at=CUTOFFS[-1] + timedelta(days=9)
        ),
    ]
    future = [line(each, "p03", CUTOFFS[-1] + timedelta(days=3)) for each in [*customers, "newcomer"]]
    write_lake(tmp_path, **shop | {"order_lines": [*early, *at_cutoff, *guests, *late, *future]})
    settings = settings_of(tmp_path)
    assert build(settings, CUTOFFS)["removed"] == 0
    after = matrix(settings, customers)
    assert content(after) == content(before)
    np.testing.assert_array_equal(after.known, before.known)


@pytest.mark.parametrize(
    "view",
    [each for each in VIEWS if each.historical and "order_lines" in each.tables],
    ids=lambda view: view.name,
)
def test_a_line_at_the_cutoff_is_not_before_it(tmp_path: Path, view: Any) -> None:
    lines = [line("a", "p", "2024-01-10T10:00"), line("b", "q", "2024-03-01T00:00")]
    products = [
        {"product_id": "p", "category": "c", "brand": "x"},
        {"product_id": "q", "category": "d", "brand": "y"},
    ]
    found = snapshot_of(tmp_path, view, "2024-03-01", *lines, products=products)
    assert list(found) == (["a"] if view.entity == "customer" else ["p"])


def test_the_last_microsecond_of_a_day_belongs_to_it(tmp_path: Path) -> None:
    lines = [line("a", "p", "2024-02-29T23:59:59.999999"), line("b", "p", "2024-02-28T12:00:00.5")]
    found = snapshot_of(tmp_path, customer_activity.VIEW, "2024-03-01", *lines)
    assert found["a"]["recency_days"] == 1 / 86_400
    assert found["b"]["recency_days"] == 1.5
    assert found["b"]["last_order_at"] == int(day("2024-02-28T12:00").timestamp())


@pytest.mark.parametrize(
    ("arrived", "orders"),
    [(None, 2), ("2024-02-29T23:59:59", 2), ("2024-03-01T00:00", 1), ("2024-03-05T00:00", 1)],
)
def test_a_line_is_seen_from_its_arrival_on(tmp_path: Path, arrived: str | None, orders: int) -> None:
    late = line("a", "q", "2024-02-01T10:00", ingested_at=arrived and day(arrived))
    shop = {"order_lines": [line("a", "p", "2024-01-10T10:00"), late]}
    settings = built(tmp_path, ["2024-03-01", "2024-03-15"], **shop)
    assert rows_of(settings, customer_activity.VIEW, "2024-03-01")["a"]["orders_total"] == orders
    assert len(rows_of(settings, purchase_history.VIEW, "2024-03-01")["a"]["history_product_ids"]) == orders
    assert ("q" in rows_of(settings, product_popularity.VIEW, "2024-03-01")) == (orders == 2)
    assert rows_of(settings, customer_activity.VIEW, "2024-03-15")["a"]["orders_total"] == 2

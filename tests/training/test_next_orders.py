"""When the next order came is read off the lines; whether that was told is judged on it."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from patron.models.waiting import Waiting
from tests.patron.models.test_waiting import customers
from tests.shops import line, write_lake
from tests.training.shop import settings_of
from training.labels import Orders
from training.next_orders import reliability


def test_the_next_order_is_the_first_one_at_or_after_the_cutoff(tmp_path):
    bought = [
        line("ann", "tea", "2024-01-01"),
        line("ann", "tea", "2024-02-03T12:00"),
        line("ann", "cup", "2024-02-20"),
        line("bob", "tea", "2024-01-31T23:59"),
        line("bob", "tea", "2024-02-05", quantity=-1),
        line("cleo", "tea", "2024-02-01"),
        line(None, "tea", "2024-02-02"),
    ]
    write_lake(tmp_path, order_lines=bought)
    orders = Orders(settings_of(tmp_path))
    found = orders.next_days(["cleo", "bob", "nobody", "ann"], datetime(2024, 2, 1, tzinfo=UTC))
    assert found.tolist() == [0, np.inf, np.inf, 2.5]


def test_a_true_model_is_found_reliable_and_a_wrong_one_is_not():
    rows, waits = customers(lost=0.2)
    good = reliability(Waiting.fit(rows, waits < 30, 30), rows, waits, 30, seed=1)
    wrong = reliability(Waiting(60.0, 8.0, 50.0), rows, waits, 30, seed=1)
    for days in (7, 14, 28):
        assert good[f"order_within_{days}.brier"] < wrong[f"order_within_{days}.brier"]
        assert (
            wrong[f"order_within_{days}.calibration_error"] > wrong[f"order_within_{days}.calibration_band"]
        )
    assert good["order_within_28.calibration_error"] < 2 * good["order_within_28.calibration_band"]
    assert 0.45 < good["next_order.came_by_the_date"] < 0.75
    assert "order_within_28.brier" not in reliability(Waiting(), rows, waits, 21, seed=1)


def test_nobody_returned():
    rows, waits = customers(size=50)
    found = reliability(Waiting(), rows, np.full(len(waits), np.inf), 30, seed=1)
    assert "next_order.days_off" not in found
    assert found["order_within_7.brier"] == pytest.approx(
        float(np.mean(Waiting().order_within(rows, 7) ** 2))
    )

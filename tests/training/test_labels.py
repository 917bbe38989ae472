"""What counts as 'after the cutoff': [cutoff, cutoff + horizon), orders and money net of returns."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from patron.settings import load_settings
from tests.shops import line, write_lake
from tests.training.shop import settings_of
from training.labels import DAY, Orders, churn_horizon, horizon_of

CUTOFF = datetime(2024, 3, 1, tzinfo=UTC)
LINES = [
    line("ann", "tea", "2024-02-29T23:59:59", 1, 7),  # the last second before
    line("ann", "tea", "2024-03-01T00:00:00", 2, 10),  # the first second
    line("ann", "cup", "2024-03-01T00:00:00", 1, 5, discount=1),  # same order
    line("ann", "tea", "2024-03-10T12:00:00", -1, 10),  # came back
    line("ann", "tea", "2024-03-10T23:59:59", 1, 3),  # the last second within
    line("bob", "tea", "2024-03-11T00:00:00", 1, 100),  # the first second after
    line("cleo", "tea", "2024-03-05T08:00:00", -2, 4),  # only returns
    line(None, "tea", "2024-03-05T08:00:00", 1, 50, order_id="guest"),
    line("dan", "tea", "2024-03-02T08:00:00", 1, 6, order_id="one"),
    line("dan", "tea", "2024-03-02T08:00:00", 1, 6, order_id="two"),
]


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Orders:
    home: Path = tmp_path_factory.mktemp("labels")
    write_lake(home, order_lines=LINES)
    return Orders(settings_of(home))


def test_orders_and_revenue_of_the_window(orders):
    count, revenue = orders.after(["dan", "cleo", "bob", "ann", "never seen"], CUTOFF, 10)
    assert count.tolist() == [2, 0, 0, 2, 0]
    assert revenue.tolist() == pytest.approx([12, -8, 0, 20 + 4 - 10 + 3, 0])


COSTS = [
    {"product_id": "tea", "title": "Tea", "category": "c", "price": 10, "unit_cost": 4, "visible": True},
    {"product_id": "cup", "title": "Cup", "category": "c", "price": 5, "unit_cost": None, "visible": True},
]


@pytest.fixture(scope="module")
def costed(tmp_path_factory: pytest.TempPathFactory) -> Orders:
    home: Path = tmp_path_factory.mktemp("costs")
    write_lake(home, order_lines=LINES, products=COSTS)
    return Orders(settings_of(home))


def test_the_margin_is_what_is_paid_less_what_it_costs(costed):
    """Two teas at 10, one that came back, one at 3, each costing 4: 20 - 8 - (10 - 4) + (3 - 4) = 5. A cup of
    unknown cost was paid with 4: half of it is taken for margin."""
    _, margin = costed.after(["ann", "cleo", "dan"], CUTOFF, 10, costed.margins(0.5))
    assert margin.tolist() == pytest.approx([5 + 2, -8 + 8, 12 - 8])


def test_costs_are_known_of_a_share_of_the_years_revenue(costed, orders):
    """Before the tenth: tea for 7 + 20 - 8 + 12 = 31 that cost 4 + 8 - 8 + 8 = 12, and a cup for 4."""
    known, share = costed.costs(datetime(2024, 3, 10, tzinfo=UTC))
    assert known == pytest.approx(31 / 35)
    assert share == pytest.approx(19 / 31)
    assert orders.costs(datetime(2024, 3, 10, tzinfo=UTC)) == (0, 0)
    assert orders.costs(datetime(2020, 1, 1, tzinfo=UTC)) == (0, 0)


def test_a_longer_window_reaches_the_next_second(orders):
    count, revenue = orders.after(["bob"], CUTOFF, 11)
    assert (count.tolist(), revenue.tolist()) == ([1], [100])


def test_nobody_asked_for(orders):
    count, revenue = orders.after([], CUTOFF, 10)
    assert len(count) == len(revenue) == 0


def test_first_and_last_line(orders):
    assert orders.first == datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC).timestamp()
    assert orders.last == datetime(2024, 3, 11, tzinfo=UTC).timestamp()


def test_gaps_are_between_purchase_days_of_one_customer(orders):
    assert sorted(orders.gaps().tolist()) == [1, 9]
    assert orders.gaps(before=datetime(2024, 3, 5, tzinfo=UTC)).tolist() == [1]


@pytest.mark.parametrize(("arrived", "known"), [(None, True), ("2024-02-29", True), ("2024-03-01", False)])
def test_what_the_shop_learned_of_later_was_not_known(tmp_path, arrived, known):
    """The second tea came at half the price, and its line at another time."""
    at = arrived and datetime.fromisoformat(arrived).replace(tzinfo=UTC)
    lines = [line("ann", "tea", "2024-02-01"), line("ann", "tea", "2024-02-05", 1, 5, ingested_at=at)]
    write_lake(tmp_path, order_lines=lines, products=COSTS)
    orders = Orders(settings_of(tmp_path))
    assert orders.gaps(CUTOFF).tolist() == [4] * known
    assert orders.costs(CUTOFF) == (1, pytest.approx(7 / 15 if known else 6 / 10))
    assert orders.gaps().tolist() == [4]
    assert orders.after(["ann"], datetime(2024, 2, 1, tzinfo=UTC), 10)[0].tolist() == [2]


def test_horizon_is_the_usual_gap_in_whole_weeks():
    assert churn_horizon(np.full(100, 14.0), 1000) == 14
    assert churn_horizon(np.full(100, 15.0), 1000) == 21
    mostly = np.concatenate([np.full(96, 10.0), np.full(4, 200.0)])
    assert churn_horizon(mostly, 2000) == 14


def test_horizon_is_at_most_a_fifth_of_the_history_and_at_least_a_week():
    assert churn_horizon(np.full(100, 90.0), 200) == 35
    assert churn_horizon(np.full(100, 90.0), 12) == 7
    assert churn_horizon(np.full(100, 1.0), 1000) == 7


def test_horizon_without_a_second_order():
    assert churn_horizon(np.zeros(0), 1000) == 28


def test_the_horizon_knows_nothing_of_the_test_window(tmp_path: Path) -> None:
    """Orders ten days apart, and late ones ten or thirty apart: only the last fifth differs."""
    settings = load_settings(home=tmp_path, cutoff_step_days=14)
    horizons = []
    for late in (range(300, 365, 10), range(300, 365, 30)):
        orders = Orders.__new__(Orders)
        orders.at = np.array([*range(0, 270, 10), *late, 365], dtype=np.int64) * DAY
        orders.learned = orders.at
        orders.names = np.full(len(orders.at), "ann")
        orders.is_order = np.ones(len(orders.at), dtype=bool)
        orders.first, orders.last = 0.0, 365.0 * DAY
        horizons.append(horizon_of(settings, orders))
    assert horizons == [14, 14]
    assert churn_horizon(orders.gaps(), 365) == 35  # had the late ones been seen
    assert horizon_of(load_settings(home=tmp_path, churn_horizon_days=28), orders) == 28

"""Shops of a few lines, whose features can be told by reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features import (
    customer_activity,
    customer_category_affinity,
    customer_product_affinity,
    customer_profile,
    product_popularity,
    purchase_history,
)
from tests.features.snapshots import day, snapshot_of
from tests.shops import line

CUTOFF = "2024-03-01"  # 2024-02-01 is 29 days before, 2024-01-31 is 30


def activity(home: Path, *lines: dict[str, Any]) -> dict[str, Any]:
    return snapshot_of(home, customer_activity.VIEW, CUTOFF, *lines)


def test_a_customer_who_only_returned_has_no_row(tmp_path: Path) -> None:
    found = activity(tmp_path, line("a", "p", "2024-02-01"), line("b", "p", "2024-02-02", -1))
    assert list(found) == ["a"]


def test_a_one_time_buyer_has_no_gaps(tmp_path: Path) -> None:
    row = activity(tmp_path, line("a", "p", "2024-02-20", 2, 10))["a"]
    assert (row["orders_total"], row["purchase_days"], row["distinct_products"]) == (1, 1, 1)
    assert (row["recency_days"], row["tenure_days"]) == (10, 10)
    assert (row["spend_total"], row["mean_order_value"], row["units_total"]) == (20, 20, 2)
    missing = ["mean_gap_days", "sd_gap_days", "last_gap_days", "recency_to_gap", "repeat_spend_mean"]
    assert [row[name] for name in missing] == [None] * 5


def test_gaps_are_between_days_with_a_purchase(tmp_path: Path) -> None:
    moments = ["2024-02-01T09:00", "2024-02-01T20:00", "2024-02-05T23:59", "2024-02-15T00:00"]
    row = activity(tmp_path, *(line("a", "p", each) for each in moments))["a"]
    assert (row["orders_total"], row["purchase_days"]) == (4, 3)
    assert (row["mean_gap_days"], row["last_gap_days"]) == (7, 10)  # gaps of 4 and 10 days
    assert row["sd_gap_days"] == pytest.approx(18**0.5)
    assert row["recency_to_gap"] == 15 / 7
    assert row["repeat_spend_mean"] == 10  # two orders after the first day


def test_money_is_net_of_discounts_and_before_returns(tmp_path: Path) -> None:
    row = activity(
        tmp_path,
        line("a", "p", "2024-02-20", 2, 10, discount=5),
        line("a", "q", "2024-02-20", 1, 20),
        line("a", "p", "2024-02-25", -1, 10),
    )["a"]
    assert (row["spend_total"], row["returned_total"], row["units_total"]) == (35, 10, 3)
    assert (row["discount_share"], row["return_share"]) == (5 / 40, 10 / 35)
    assert (row["orders_total"], row["mean_order_value"], row["purchase_days"]) == (1, 35, 1)
    assert (row["spend_7d"], row["returned_7d"], row["discount_share_7d"]) == (0, 10, None)
    assert row["recency_days"] == 10  # a return is no purchase


def test_windows_reach_back_to_their_first_second(tmp_path: Path) -> None:
    edges = ["2024-02-23T00:00", "2024-02-22T23:59:59", "2024-01-31", "2024-01-30T23:59:59", "2023-12-01"]
    row = activity(tmp_path, *(line("a", "p", each) for each in edges))["a"]
    assert [row[f"orders_{days}d"] for days in (7, 30, 90, 365)] == [1, 3, 4, 5]
    assert row["order_trend"] == 3 * 3 / 4


def test_each_line_is_rounded_to_hundredths_half_away_from_zero(tmp_path: Path) -> None:
    prices = [1.005, 2.675, 0.004, 0.005]
    row = activity(tmp_path, *(line("a", f"p{each}", "2024-02-20", 1, each) for each in prices))["a"]
    assert row["spend_total"] == 3.70  # 1.01 + 2.68 + 0.00 + 0.01


def test_lines_of_one_order_at_different_moments_are_one_order(tmp_path: Path) -> None:
    lines = [line("a", "p", f"2024-02-20T10:00:0{each}", order_id="o") for each in range(3)]
    row = activity(tmp_path, *lines)["a"]
    assert (row["orders_total"], row["orders_30d"], row["spend_total"]) == (1, 1, 30)


def test_the_same_order_id_of_two_customers_is_two_orders(tmp_path: Path) -> None:
    found = activity(
        tmp_path, line("a", "p", "2024-02-20", order_id="o"), line("b", "p", "2024-02-20", order_id="o")
    )
    assert [row["orders_total"] for row in found.values()] == [1, 1]


def test_guests_count_in_popularity_but_are_no_buyers(tmp_path: Path) -> None:
    found = snapshot_of(
        tmp_path,
        product_popularity.VIEW,
        CUTOFF,
        line(None, "p", "2024-02-28", 3, 2, order_id="guest"),
        line("a", "p", "2024-02-01", 1, 4),
        line("a", "p", "2024-02-02", -1, 4),
        line("a", "q", "2023-01-01"),
    )
    row = found["p"]
    assert (row["buyers_7d"], row["product_orders_7d"], row["product_units_7d"]) == (0, 1, 3)
    assert (row["buyers_30d"], row["product_orders_30d"], row["revenue_30d"]) == (1, 2, 10)
    assert (row["mean_price_90d"], row["days_since_first_sold"], row["days_since_last_sold"]) == (2.5, 29, 2)
    assert (found["q"]["buyers_365d"], found["q"]["mean_price_90d"]) == (0, None)


def test_an_invisible_product_is_money_but_no_taste(tmp_path: Path) -> None:
    lines = [
        line("a", "p", "2024-02-01"),
        line("a", "post", "2024-02-02", 1, 3),
        line("b", "post", "2024-02-02"),
    ]
    products = [
        {"product_id": "p", "category": "k"},
        {"product_id": "post", "category": "fees", "visible": False},
    ]

    def of(view: Any) -> dict[str, Any]:
        return snapshot_of(tmp_path, view, CUTOFF, *lines, products=products)

    assert of(customer_activity.VIEW)["a"]["spend_total"] == 13
    assert {key: row["history_product_ids"] for key, row in of(purchase_history.VIEW).items()} == {"a": ["p"]}
    assert {key: row["own_product_ids"] for key, row in of(customer_product_affinity.VIEW).items()} == {
        "a": ["p"]
    }
    assert {key: row["category_names"] for key, row in of(customer_category_affinity.VIEW).items()} == {
        "a": ["k"]
    }


def test_lines_of_one_second_stand_by_order_then_product(tmp_path: Path) -> None:
    at = "2024-02-20T10:00:00"
    found = snapshot_of(
        tmp_path,
        purchase_history.VIEW,
        CUTOFF,
        line("a", "p1", at, order_id="o2"),
        line("a", "p9", at, order_id="o1"),
        line("a", "p3", at, order_id="o1"),
        line("a", "p3", at, order_id="o1", price=11),
        line("a", "p0", "2024-02-20T10:00:01"),
        line("a", "p5", "2024-02-20T09:59:59.999"),
        line("a", "p5", "2024-02-21", -1),
    )
    assert found["a"]["history_product_ids"] == ["p5", "p3", "p3", "p9", "p1", "p0"]
    first = int(day("2024-02-20T09:59:59").timestamp())
    assert found["a"]["history_bought_at"] == [first, *[first + 1] * 4, first + 2]


def test_history_keeps_the_newest_hundred(tmp_path: Path) -> None:
    lines = [
        line("a", f"p{each:03d}", f"2024-02-20T10:{each // 60:02d}:{each % 60:02d}") for each in range(130)
    ]
    found = snapshot_of(tmp_path, purchase_history.VIEW, CUTOFF, *lines)
    assert found["a"]["history_product_ids"] == [f"p{each:03d}" for each in range(30, 130)]


def test_affinity_counts_orders_and_the_interval_between_them(tmp_path: Path) -> None:
    lines = [
        *(line("a", "milk", moment) for moment in ("2024-02-01", "2024-02-08", "2024-02-20")),
        line("a", "milk", "2024-02-20", 2),  # the same order again
        line("a", "soap", "2024-02-10"),
        line("a", "milk", "2024-02-21", -1),
    ]
    products = [{"product_id": "milk", "category": "food"}, {"product_id": "soap", "category": None}]
    row = snapshot_of(tmp_path, customer_product_affinity.VIEW, CUTOFF, *lines, products=products)["a"]
    assert row == {
        "own_product_ids": ["soap", "milk"],
        "own_times_bought": [1, 3],
        "own_days_since": [20, 10],
        "own_interval_days": [-1, 9.5],
        "own_times_28d": [1, 2],
        "own_times_91d": [1, 3],
    } | {name: row[name] for name in ("event_timestamp", "created")}
    row = snapshot_of(tmp_path, customer_category_affinity.VIEW, CUTOFF, *lines, products=products)["a"]
    assert (row["category_names"], row["category_times_bought"]) == (["food"], [3])


def test_a_profile_says_what_the_customers_table_says_today(tmp_path: Path) -> None:
    customers = [
        {"customer_id": "a", "region": "north", "birthday": day("1960-05-01"), "attributes": '{"x": 1}'},
        {"customer_id": "b", "signed_up_at": day("2024-02-29T23:59:59.7"), "consent_offers": False},
        {"customer_id": "later", "signed_up_at": day("2024-03-01")},
    ]
    found = snapshot_of(
        tmp_path, customer_profile.VIEW, CUTOFF, line("a", "p", "2024-02-01"), customers=customers
    )
    assert list(found) == ["a", "b"]
    assert found["a"]["birthday"] == int(day("1960-05-01").timestamp())
    assert (found["a"]["region"], found["a"]["attributes"], found["a"]["signed_up_at"]) == (
        "north",
        '{"x": 1}',
        None,
    )
    assert found["b"]["signed_up_at"] == int(day("2024-02-29T23:59:59").timestamp())
    assert (found["b"]["consent_offers"], found["b"]["consent_training"]) == (False, True)

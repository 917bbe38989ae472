"""What recommenders see of a tiny shop at a cutoff, and what they are judged on after it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.shops import line, write_lake
from tests.training.shop import settings_of
from training.purchases import Purchases, baskets

CUTOFF = datetime(2024, 3, 1, tzinfo=UTC)
LINES = [
    line("ann", "old", "2023-02-28T12:00:00"),  # more than a year before the cutoff
    line("ann", "tea", "2024-02-01T10:00:00"),
    line("ann", "post", "2024-02-01T10:00:00"),  # invisible
    line(None, "cup", "2024-02-02T10:00:00", order_id="guest"),
    line("bob", "tea", "2024-02-03T10:00:00"),
    line("bob", "tea", "2024-02-04T10:00:00", -1),  # a return is no purchase
    line("ann", "new", "2024-03-01T00:00:00"),  # at the cutoff: after it
    line("ann", "tea", "2024-03-02T00:00:00"),
    line("ann", "tea", "2024-03-03T00:00:00"),  # counts once
    line("bob", "post", "2024-03-04T00:00:00"),
    line("cleo", "old", "2024-03-10T23:59:59"),
    line(None, "tea", "2024-03-05T00:00:00", order_id="guest too"),
    line("dan", "tea", "2024-03-11T00:00:00"),  # after the window
]
PRODUCTS = [
    {"product_id": "post", "title": "Postage", "visible": False},
    {"product_id": "tea", "title": "Tea", "category": "drinks", "price": 3.5, "in_stock": False},
    {"product_id": "never sold", "title": "Dust"},
]


@pytest.fixture(scope="module")
def purchases(tmp_path_factory: pytest.TempPathFactory) -> Purchases:
    home: Path = tmp_path_factory.mktemp("purchases")
    write_lake(home, order_lines=LINES, products=PRODUCTS)
    return Purchases(settings_of(home))


def test_nothing_at_or_after_the_cutoff_is_learned_from(purchases):
    seen = purchases.until(CUTOFF)
    assert seen.as_of == CUTOFF.timestamp()
    assert seen.at.max() < CUTOFF.timestamp()
    assert "new" not in seen.product_ids


@pytest.mark.parametrize(("arrived", "known"), [("2024-02-29", True), ("2024-03-01", False)])
def test_a_line_is_learned_from_once_it_arrived(tmp_path, arrived, known):
    late = line("ann", "cup", "2024-02-05", ingested_at=datetime.fromisoformat(arrived).replace(tzinfo=UTC))
    write_lake(tmp_path, order_lines=[line("ann", "tea", "2024-02-01"), late])
    purchases = Purchases(settings_of(tmp_path))
    seen = purchases.until(CUTOFF)
    assert seen.product_ids.tolist() == ["cup"] * known + ["tea"]
    assert len(seen.at) == 1 + known
    assert len(purchases.until(datetime(2024, 3, 2, tzinfo=UTC)).at) == 2


def test_only_visible_products_sold_within_a_year_are_ranked(purchases):
    seen = purchases.until(CUTOFF)
    assert seen.product_ids.tolist() == ["cup", "tea"]
    assert [seen.product_ids[each] for each in seen.product] == ["tea", "cup", "tea"]


def test_guests_have_no_customer_code(purchases):
    seen = purchases.until(CUTOFF)
    assert seen.customer.tolist() == [0, -1, 1]  # ann, the guest, bob
    assert len(set(seen.order.tolist())) == 3


def test_what_was_bought_in_the_window(purchases):
    seen = purchases.until(CUTOFF)
    found = baskets(purchases, seen.product_ids, CUTOFF, 10)
    tea = seen.product_ids.tolist().index("tea")
    assert found.customers == ["ann", "cleo"]  # bob bought postage, dan came too late
    assert [sorted(each.tolist()) for each in found.bought] == [[-1, tea], [-1]]
    assert [sorted(each.tolist()) for each in found.before] == [[-1, tea], []]


def test_the_same_baskets_in_another_catalogue(purchases):
    import numpy as np

    found = baskets(purchases, np.array(["new", "old", "tea"]), CUTOFF, 10)
    assert [sorted(each.tolist()) for each in found.bought] == [[0, 2], [1]]


def test_a_window_in_which_nobody_buys(purchases):
    later = datetime(2025, 3, 1, tzinfo=UTC)
    assert baskets(purchases, purchases.until(later).product_ids, later, 10).customers == []


def test_stock_of_today_is_known_to_the_shipped_model_only(purchases):
    today, then = purchases.catalogue(stock=True), purchases.catalogue(stock=False)
    tea = today.position("tea")
    assert not today.in_stock[tea] and then.in_stock[tea]
    assert then.titles[tea] == "Tea" and then.prices[tea] == 3.5
    assert not then.visible[then.position("post")]


def test_a_product_is_known_from_the_moment_it_was_launched(tmp_path):
    launched = datetime(2024, 2, 20, 10, 0, 0, 250_000, tzinfo=UTC)
    write_lake(tmp_path, order_lines=LINES, products=[{"product_id": "novelty", "available_from": launched}])
    purchases = Purchases(settings_of(tmp_path))
    assert "novelty" in purchases.until(CUTOFF).product_ids
    assert "novelty" not in purchases.until(datetime(2024, 2, 20, tzinfo=UTC)).product_ids

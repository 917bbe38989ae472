"""What the ranker reads, told by hand from six purchases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from patron.models.base import CustomerHistory
from patron.models.catalogue import Catalogue
from patron.models.item_item import ItemItem
from patron.models.ranking_features import ProductNumbers, described, matrix
from patron.models.shortlist import Shortlist
from tests.purchases import history, once, purchases

PRODUCTS = ["bread", "milk", "new", "wine"]
ROWS = [
    ("a", "bread", 10),
    ("b", "wine", 40),
    ("a", "milk", 70),
    ("a", "milk", 90),
    ("b", "bread", 95),
    ("b", "milk", 95),
]
MINE = history(("bread", 1, 90, None), ("milk", 2, 10, 20))
"""Customer a's."""
NAN = float("nan")


def catalogue(**more):
    ids = np.array(PRODUCTS)
    facts = {
        "categories": np.array(["food", "food", "", "drink"]),
        "prices": np.array([4.0, 1.0, 2.0, 8.0]),
        "costs": np.array([3.0, NAN, 1.0, 2.0]),
    }
    return replace(Catalogue.of(ids), **{**facts, **more})


def numbers(prices=None, days=100):
    bought = purchases(ROWS, days=days, products=PRODUCTS)
    return ProductNumbers.of(replace(bought, price=None if prices is None else np.array(prices)), catalogue())


def shortlist(positions=(0, 1, 2, 3)):
    size = len(positions)
    scores = np.arange(size, dtype=np.float32)[:, None]
    ranks = np.arange(size, dtype=np.int32)[::-1, None]
    return Shortlist(("some",), np.array(positions, dtype=np.int64), scores, scores / 3, ranks, 10)


def neighbours():
    """Milk is near bread; wine and bread are near milk."""
    source = ItemItem()
    rows = [([1], [0.5]), ([3, 0], [0.4, 0.3])]
    kept = [(np.array(near, dtype=np.int32), np.array(values, dtype=np.float32)) for near, values in rows]
    source._keep(np.array(PRODUCTS), np.arange(4), [*kept, empty(), empty()])
    return source


def empty():
    return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)


def columns(mine=MINE, positions=(0, 1, 2, 3), **sources):
    own = Catalogue.of(np.array(PRODUCTS)).index.positions(mine.product_ids)
    return described(shortlist(positions), mine, own, numbers(), sources)


def close(values, expected):
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("buyers_7d", [1, 1, 0, 0]),
        ("buyers_28d", [1, 2, 0, 0]),
        ("buyers_91d", [2, 2, 0, 1]),
        ("trend_28d", [2 / (56 / 91 + 1), 3 / (56 / 91 + 1), 1, 1 / (28 / 91 + 1)]),
        ("age_days", [90, 30, NAN, 60]),
        ("idle_days", [5, 5, NAN, 60]),
        # One of five buyers came back for a product: 5 such buyers are added to each product's own.
        ("repeat_share", [1 / 7, 2 / 7, 1 / 5, 1 / 6]),
        ("times_a_buyer", [1, 1.5, 0, 1]),
        ("usual_interval_days", [20, 20, 20, 20]),
        ("price", [4, 1, 2, 8]),
        ("margin", [1 / 4, NAN, 1 / 2, 3 / 4]),
    ],
)
def test_numbers_of_products(name, expected):
    close(numbers().columns[name], expected)


def test_numbers_of_products_are_all_listed_here():
    tested = test_numbers_of_products.pytestmark[0].args[1]
    assert numbers().columns.keys() == {name for name, _ in tested} | {"buyers_365d"}


def test_a_price_is_what_was_paid_lately_or_else_ever():
    paid = [2.0, 8.0, 1.0, 2.0, 4.0, 3.0]
    close(numbers(paid, days=100).columns["price"], [3, 2, NAN, 8])
    close(numbers(paid, days=150).columns["price"], [4, 2, NAN, 8])
    close(numbers([0.0] * 6).columns["price"], [NAN] * 4)


def test_no_purchase_at_all_is_no_reason_to_fail():
    found = ProductNumbers.of(purchases([], products=PRODUCTS), catalogue()).columns
    assert all(each.shape == (4,) for each in found.values())
    assert np.isnan(found["age_days"]).all()
    assert (found["buyers_365d"] == 0).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("some_score", [0, 1, 2, 3]),
        ("some_value", [0, 1 / 3, 2 / 3, 1]),
        ("some_rank", [3, 2, 1, 0]),
        ("own_times", [1, 2, 0, 0]),
        ("own_days", [90, 10, NAN, NAN]),
        ("own_interval", [NAN, 20, NAN, NAN]),
        ("own_due", [NAN, 0.5, NAN, NAN]),
        ("own_due_usually", [4.5, 0.5, NAN, NAN]),
        ("own_times_share", [0.5, 1, 0, 0]),
        ("own_recency_rank", [1, 0, NAN, NAN]),
        ("own_times_28d", [NAN, NAN, 0, 0]),
        ("history_products", [2] * 4),
        ("history_recency_days", [10] * 4),
        ("history_mean_times", [1.5] * 4),
        ("history_repeat_share", [0.5] * 4),
        ("category_share", [1, 1, NAN, 0]),
        ("category_days", [10, 10, NAN, NAN]),
        # Usual is the geometric mean of 4 and 1.
        ("price_to_usual", [2, 0.5, 1, 4]),
        ("near_to_recent_max", [0.3, 0.5, 0, 0.4]),
        ("near_to_recent_sum", [0.3, 0.5, 0, 0.4]),
        ("near_to_last_order", [0.3, 0, 0, 0.4]),
    ],
)
def test_features_of_candidates(name, expected):
    close(columns(near=neighbours())[name], expected)


def test_lately_bought_counts_where_somebody_counted():
    found = columns(replace(MINE, times_28d=np.array([0, 1]), times_91d=np.array([1, 2])))
    close(found["own_times_28d"], [0, 1, 0, 0])
    close(found["own_times_91d"], [1, 2, 0, 0])


def test_only_the_candidates_are_described_in_their_order():
    every, some = columns(near=neighbours()), columns(positions=(3, 1), near=neighbours())
    for name in set(every) - {"some_score", "some_value", "some_rank"}:
        close(some[name], every[name][[3, 1]])


def test_products_of_one_order_have_no_order_among_them():
    found = columns(once("bread", "milk", "wine", days=5.0))
    close(found["own_recency_rank"], [0, 0, NAN, 0])


def test_what_near_products_say_adds_up():
    found = columns(once("bread", "milk"), near=neighbours())
    close(found["near_to_last_order"], [0.3, 0.5, 0, 0.4])
    twice = ItemItem()
    row = (np.array([3], dtype=np.int32), np.array([0.25], dtype=np.float32))
    twice._keep(np.array(PRODUCTS), np.arange(4), [row, row, empty(), empty()])
    found = columns(once("bread", "milk"), near=twice)
    close(found["near_to_recent_max"], [0, 0, 0, 0.25])
    close(found["near_to_recent_sum"], [0, 0, 0, 0.5])


@pytest.mark.parametrize("mine", [CustomerHistory.empty(), once("?", "??")])
def test_who_bought_nothing_known_has_nothing_of_their_own(mine):
    found = columns(mine, near=neighbours())
    assert found.keys() == columns(near=neighbours()).keys()
    assert all(each.shape == (4,) for each in found.values())
    close(found["own_times"], [0] * 4)
    close(found["own_days"], [NAN] * 4)
    close(found["category_days"], [NAN] * 4)
    close(found["near_to_recent_max"], [0] * 4)
    close(found["price_to_usual"], [NAN] * 4)


def test_unknown_products_of_a_history_are_passed_over():
    mine = history(("?", 1, 95, None), ("bread", 1, 90, None), ("milk", 2, 10, 20))
    found, plain = columns(mine), columns()
    for name in ("own_days", "category_share", "price_to_usual", "own_recency_rank"):
        close(found[name], plain[name])


def test_no_candidates_no_rows():
    assert matrix(columns(positions=()), tuple(columns())).shape == (len(columns()), 0)


def test_what_was_saved_is_what_is_loaded(tmp_path):
    written = numbers()
    written.save(tmp_path / "numbers.npz")
    read = ProductNumbers.load(tmp_path / "numbers.npz")
    assert read.columns.keys() == written.columns.keys()
    for name, each in written.columns.items():
        assert read.columns[name].tobytes() == each.tobytes()
    assert read.categories.tolist() == written.categories.tolist()

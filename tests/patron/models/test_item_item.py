from __future__ import annotations

import numpy as np
import pytest

from patron.models import neighbours
from patron.models.item_item import ItemItem, ItemItemConfig
from tests.purchases import checkerboard, history, once, others_of, purchases
from tests.recommender_contract import RecommenderContract


class TestItemItemOfCustomers(RecommenderContract):
    def unfitted(self):
        return ItemItem()


class TestItemItemOfOrders(RecommenderContract):
    def unfitted(self):
        return ItemItem(ItemItemConfig(basket="order"))


def fitted(interactions, **config):
    model = ItemItem(
        ItemItemConfig(**{"min_buyers": 1, "shrinkage": 0.0, "fit_half_life_days": 0.0, **config})
    )
    model.fit(interactions)
    return model


BREAKFAST = [
    ("a", "bread", 1), ("a", "butter", 1), ("a", "screws", 50),
    ("b", "bread", 2), ("b", "butter", 2),
    ("c", "bread", 3), ("c", "jam", 3),
]  # fmt: skip


@pytest.mark.parametrize("i", range(8))
def test_the_missing_square_of_the_checkerboard_comes_first(i):
    model = fitted(checkerboard())
    scores = model.scores(others_of(i))
    scores[model.index.positions(others_of(i).product_ids)] = 0
    assert model.product_ids[np.argmax(scores)] == f"p{i}"
    assert (scores > 0).sum() == 1


def test_similarity_is_the_cosine_of_the_customers():
    ids, values = fitted(purchases(BREAKFAST)).similar("bread", 10)
    assert ids.tolist() == ["butter", "jam", "screws"]
    assert values == pytest.approx([2 / np.sqrt(6), 1 / np.sqrt(3), 1 / np.sqrt(3)])


def test_shrinkage_is_added_to_the_denominator():
    _, values = fitted(purchases(BREAKFAST), shrinkage=10.0).similar("bread", 1)
    assert values == pytest.approx([2 / (np.sqrt(6) + 10)])


def test_orders_tell_what_is_bought_together():
    ids, _ = fitted(purchases(BREAKFAST), basket="order").similar("screws", 10)
    assert ids.tolist() == []
    assert fitted(purchases(BREAKFAST)).similar("screws", 10)[0].tolist() == ["butter", "bread"]


def test_products_with_few_buyers_are_nobodys_neighbours():
    ids, _ = fitted(purchases(BREAKFAST), min_buyers=2).similar("bread", 10)
    assert ids.tolist() == ["butter"]


def test_only_the_nearest_are_kept():
    model = fitted(purchases(BREAKFAST), neighbours=1)
    assert model.similar("bread", 10)[0].tolist() == ["butter"]
    assert len(model.table.neighbours) == 4


def test_blocks_of_any_size_give_the_same(monkeypatch):
    whole = fitted(checkerboard())
    monkeypatch.setattr(neighbours, "BLOCK_CELLS", 1)
    pieces = fitted(checkerboard())
    assert pieces.table.neighbours.tolist() == whole.table.neighbours.tolist()
    assert pieces.table.similarities.tolist() == whole.table.similarities.tolist()


def test_old_purchases_can_count_less_at_fitting():
    rows = [(who, what, day) for who in "abc" for what, day in (("x", 99), ("y", 99))]
    rows += [(who, what, 1) for who in "def" for what in ("x", "z")]
    plain = fitted(purchases(rows)).similar("x", 2)[1]
    assert plain[0] == pytest.approx(plain[1])
    ids, values = fitted(purchases(rows), fit_half_life_days=10).similar("x", 2)
    assert ids[0] == "y"
    assert values[0] > 10 * values[1]


def test_recent_and_frequent_purchases_speak_louder():
    model = fitted(purchases([("a", "x", 1), ("a", "y", 1), ("b", "v", 1), ("b", "w", 1)]))
    lately = model.scores(history(("x", 1, 90, None), ("v", 1, 1, None)))
    assert lately[model.index.position("w")] > lately[model.index.position("y")]
    often = model.scores(history(("x", 9, 5, 3), ("v", 1, 5, None)))
    assert often[model.index.position("y")] > often[model.index.position("w")]


def test_a_history_can_fade_order_by_order_whatever_the_days():
    model = fitted(
        purchases([("a", "x", 1), ("a", "y", 1), ("b", "v", 1), ("b", "w", 1), ("c", "s", 1), ("c", "t", 1)]),
        history_decay=0.5,
        half_life_days=0.0,
    )
    fading = model.scores(history(("x", 1, 90, None), ("s", 1, 9, None), ("v", 1, 9, None)))
    assert fading[model.index.positions(["y", "t", "w"])].tolist() == [0.5, 1, 1]


def test_the_strongest_product_of_the_history_is_named():
    model = fitted(purchases(BREAKFAST))
    jam, screws = model.index.position("jam"), model.index.position("screws")
    assert model.strongest(once("screws", "bread"), jam) == "bread"
    assert model.strongest(once("jam", "butter"), screws) == "butter"
    assert model.strongest(once("unknown"), jam) is None
    assert model.strongest_each(once("bread", "butter"), np.array([jam, screws])) == ["bread", "butter"]


def test_an_unknown_product_has_no_neighbours():
    ids, values = fitted(purchases(BREAKFAST)).similar("unknown", 5)
    assert len(ids) == len(values) == 0

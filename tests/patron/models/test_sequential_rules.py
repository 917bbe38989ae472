from __future__ import annotations

import numpy as np
import pytest

from patron.models import neighbours
from patron.models.sequential_rules import SequentialRules, SequentialRulesConfig
from tests.purchases import checkerboard, history, once, others_of, purchases
from tests.recommender_contract import RecommenderContract

PLAIN = {"source_exponent": 0.0, "target_exponent": 0.0, "size_exponent": 0.0, "fit_half_life_days": 0.0}
PLAIN |= {"together": 1.0, "history_decay": 0.5, "half_life_days": 0.0, "count_weight": 0.0}


class TestSequentialRules(RecommenderContract):
    def unfitted(self):
        return SequentialRules()


def fitted(interactions, **config):
    model = SequentialRules(SequentialRulesConfig(**(PLAIN | config)))
    model.fit(interactions)
    return model


def rules(model, product):
    ids, values = model.similar(product, 99)
    return dict(zip(ids.tolist(), values.tolist(), strict=True))


HOBBY = [("a", "camera", 1), ("a", "lens", 5), ("a", "tripod", 30)]
"""One customer, three orders."""

COFFEE = [("a", "cup", 1), ("a", "tray", 1), ("a", "beans", 2), ("a", "filter", 2)]
"""One customer, two orders of two."""


@pytest.mark.parametrize("i", range(8))
def test_the_missing_square_of_the_checkerboard_comes_first(i):
    model = fitted(checkerboard())
    scores = model.scores(others_of(i))
    scores[model.index.positions(others_of(i).product_ids)] = 0
    assert model.product_ids[np.argmax(scores)] == f"p{i}"
    assert (scores > 0).sum() == 1


def test_a_rule_weighs_one_over_the_orders_between():
    model = fitted(purchases(HOBBY), backward=0.25)
    assert rules(model, "camera") == {"lens": 1, "tripod": 0.5}
    assert rules(model, "lens") == {"tripod": 1, "camera": 0.25}
    assert rules(model, "tripod") == {"lens": 0.25, "camera": 0.125}


def test_rules_may_lead_forward_only():
    assert rules(fitted(purchases(HOBBY), backward=0.0), "tripod") == {}


def test_orders_further_apart_than_the_window_make_no_rules():
    assert rules(fitted(purchases(HOBBY), window=1), "camera") == {"lens": 1}


def test_every_customer_adds_to_a_rule_and_none_reaches_into_the_next():
    rows = [*HOBBY, ("b", "camera", 40), ("b", "lens", 50), ("c", "lens", 60)]
    assert rules(fitted(purchases(rows), backward=0.0), "camera") == {"lens": 2, "tripod": 0.5}


def test_lines_of_one_order_have_no_order_among_them():
    model = fitted(purchases(COFFEE), together=3.0, backward=0.0)
    assert rules(model, "cup") == {"tray": 3, "beans": 1, "filter": 1}
    assert rules(model, "tray") == {"cup": 3, "beans": 1, "filter": 1}
    assert rules(model, "filter") == {"beans": 3}


def test_orders_of_guests_tell_what_is_bought_together():
    rows = [(None, "cup", 1), (None, "beans", 2)]
    assert rules(fitted(purchases(rows)), "cup") == {}
    guests = purchases(COFFEE)
    guests = type(guests)(**{**vars(guests), "customer": np.full(4, -1)})
    assert rules(fitted(guests), "cup") == {"tray": 1}


def test_a_product_bought_again_is_no_rule_of_its_own():
    rows = [("a", "beans", day) for day in (1, 2, 3)] + [("a", "cup", 4)]
    assert rules(fitted(purchases(rows)), "beans") == pytest.approx({"cup": 1 + 1 / 2 + 1 / 3})


def test_rules_are_divided_by_powers_of_the_buyers():
    rows = [*HOBBY, *((who, "camera", 3) for who in "bcd"), ("e", "lens", 3)]
    model = fitted(purchases(rows), source_exponent=0.5, target_exponent=1.0)
    assert rules(model, "camera") == pytest.approx({"lens": 1 / (2 * 2), "tripod": 0.5 / 2})


def test_large_orders_say_less():
    model = fitted(purchases(COFFEE), size_exponent=0.5)
    assert rules(model, "cup") == pytest.approx({"tray": 0.5, "beans": 0.5, "filter": 0.5})


def test_old_orders_say_less():
    rows = [("a", "x", 90), ("a", "y", 90), ("b", "x", 80), ("b", "z", 80)]
    assert rules(fitted(purchases(rows), fit_half_life_days=10), "x") == pytest.approx({"y": 0.5, "z": 0.25})


def test_products_with_few_buyers_take_no_part():
    rows = [*HOBBY, ("b", "camera", 1), ("b", "tripod", 2)]
    model = fitted(purchases(rows), min_customers=2, backward=0.0)
    assert rules(model, "camera") == {"tripod": 1.5}
    assert rules(model, "lens") == {}


def test_only_the_strongest_rules_are_kept():
    model = fitted(purchases(HOBBY), neighbours=1)
    assert rules(model, "camera") == {"lens": 1}
    assert len(model.table.neighbours) == 3


def test_the_last_order_speaks_loudest():
    model = fitted(purchases([("a", "x", 1), ("a", "y", 2), ("b", "v", 1), ("b", "w", 2)]))
    found = model.scores(history(("x", 1, 90, None), ("cup", 1, 20, None), ("v", 1, 9, None)))
    assert found[model.index.positions(["y", "w"])].tolist() == [0.25, 1]
    found = model.scores(history(("x", 1, 9, None), ("v", 1, 9, None)))
    assert found[model.index.positions(["y", "w"])].tolist() == [1, 1]


def test_the_strongest_product_of_the_history_is_named():
    model = fitted(purchases(HOBBY))
    tripod, lens = model.index.positions(["tripod", "lens"])
    bought = history(("camera", 1, 90, None), ("lens", 1, 9, None))
    assert model.strongest_each(bought, np.array([tripod, lens])) == ["lens", "camera"]
    assert model.strongest(once("cup"), tripod) is None


def test_blocks_of_any_size_give_the_same(monkeypatch):
    whole = fitted(checkerboard())
    monkeypatch.setattr(neighbours, "BLOCK_CELLS", 1)
    pieces = fitted(checkerboard())
    assert pieces.table.neighbours.tolist() == whole.table.neighbours.tolist()
    assert pieces.table.similarities.tolist() == whole.table.similarities.tolist()

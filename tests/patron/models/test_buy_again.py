from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from patron.models.buy_again import BuyAgain, BuyAgainConfig
from tests.purchases import history, once, purchases
from tests.recommender_contract import RecommenderContract


class TestBuyAgain(RecommenderContract):
    def unfitted(self):
        return BuyAgain()


MILK_WEEKLY = [(who, "milk", day) for who in "abcd" for day in range(0, 99, 7)]
OIL_MONTHLY = [(who, "oil", day) for who in "abcd" for day in range(0, 99, 30)]


def fitted(rows=(*MILK_WEEKLY, *OIL_MONTHLY), **config):
    model = BuyAgain(BuyAgainConfig(**config))
    model.fit(purchases(rows))
    return model


def better(model, history, one, other):
    scores = model.scores(history)
    return scores[model.index.position(one)] > scores[model.index.position(other)]


def test_only_what_was_bought_scores():
    scores = fitted().scores(once("milk"))
    assert (scores > 0).tolist() == [True, False]


def test_often_beats_seldom_and_lately_beats_long_ago():
    model = fitted(due_weight=0)
    assert better(model, history(("milk", 8, 10, 7), ("oil", 2, 10, 7)), "milk", "oil")
    assert better(model, history(("milk", 3, 80, 7), ("oil", 3, 8, 7)), "oil", "milk")


def test_what_is_due_beats_what_was_just_bought():
    model = fitted(half_life_days=1000, due_weight=3, due_width=0.5)
    assert better(model, history(("milk", 4, 30, 30), ("oil", 4, 2, 30)), "milk", "oil")


def test_usual_intervals_are_learned_from_everybody():
    model = fitted()
    milk, oil = model.intervals
    assert 7 < milk < 12
    assert 20 < oil < 30


def test_a_customers_own_interval_outweighs_the_usual_one_as_it_is_seen_more():
    model = fitted(interval_prior=4.0)
    position = model.index.positions(["milk"])
    usual = float(model.intervals[0])
    assert model.interval_days(once("milk"), position) == pytest.approx([usual])
    often = model.interval_days(history(("milk", 41, 5, 20.0)), position)
    assert often == pytest.approx([(20 * 40 + usual * 4) / 44])


def test_nothing_ever_repeated_still_gives_an_interval():
    model = fitted([("a", "x", 1), ("b", "x", 2)])
    assert np.isfinite(model.scores(once("x"))).all()
    assert model.interval_days(once("x"), np.array([0])) == pytest.approx([60])


def test_a_product_that_is_bought_again_beats_one_that_is_not():
    once_only = [(f"z{who}", "vase", 10) for who in range(40)]
    model = fitted([*MILK_WEEKLY, *once_only])
    assert better(model, history(("vase", 2, 10, 30), ("milk", 2, 10, 30)), "milk", "vase")
    indifferent = fitted([*MILK_WEEKLY, *once_only], repeat_exponent=0, due_weight=0)
    scores = indifferent.scores(history(("vase", 2, 10, 30), ("milk", 2, 10, 30)))
    assert scores[0] == pytest.approx(scores[1])


def test_lately_counts_beside_ever():
    model = fitted(due_weight=0)
    found = replace(history(("milk", 6, 10, 7), ("oil", 6, 10, 7)), times_91d=np.array([0, 6]))
    assert better(model, found, "oil", "milk")


def test_an_artifact_of_before_opens(tmp_path):
    model = fitted(repeat_exponent=0)
    model.save(tmp_path)
    with np.load(tmp_path / "arrays.npz") as stored:
        kept = {name: stored[name] for name in stored.files if name != "repeat_rates"}
    np.savez(tmp_path / "arrays.npz", **kept)
    asked = history(("milk", 6, 10, 7), ("oil", 2, 40, 30))
    assert BuyAgain.load(tmp_path).scores(asked).tolist() == model.scores(asked).tolist()

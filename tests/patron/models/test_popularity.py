from __future__ import annotations

import numpy as np

from patron.models.base import CustomerHistory
from patron.models.popularity import Popularity, PopularityConfig
from tests.purchases import purchases
from tests.recommender_contract import RecommenderContract

NOBODY = CustomerHistory.empty()


class TestPopularity(RecommenderContract):
    def unfitted(self):
        return Popularity()


def popularity(rows, window_days=28, **more):
    model = Popularity(PopularityConfig(window_days=window_days))
    model.fit(purchases(rows, days=100, **more))
    return model


def ranked(model):
    return model.product_ids[model.order].tolist()


def test_buyers_count_not_lines():
    model = popularity([("a", "x", 90), ("a", "x", 91), ("a", "x", 92), ("a", "y", 93), ("b", "y", 94)])
    assert model.buyers.tolist() == [1, 2]
    assert ranked(model) == ["y", "x"]


def test_only_the_window_counts_and_its_first_moment_is_within():
    rows = [("a", "old", 71), ("b", "old", 71), ("a", "edge", 72), ("a", "new", 99)]
    assert dict(zip(*counted(popularity(rows)), strict=True)) == {"old": 0, "edge": 1, "new": 1}
    assert ranked(popularity(rows, window_days=29))[0] == "old"


def counted(model):
    return model.product_ids.tolist(), model.buyers.tolist()


def test_equal_in_the_window_buyers_of_all_time_decide_then_the_order_of_products():
    rows = [("a", "x", 90), ("a", "y", 90), ("a", "z", 90), ("b", "z", 5)]
    assert ranked(popularity(rows)) == ["z", "x", "y"]


def test_products_not_sold_lately_follow_and_those_never_sold_score_nothing():
    model = popularity([("a", "x", 90), ("b", "y", 5)], products=["never", "x", "y"])
    assert ranked(model) == ["x", "y", "never"]
    assert model.scores(NOBODY)[0] == 0
    assert model.scores(NOBODY)[2] > 0


def test_each_order_of_a_guest_is_a_buyer():
    assert popularity([(None, "x", 90), (None, "x", 91), ("a", "x", 92)]).buyers.tolist() == [3]


def test_answers_may_be_changed_by_who_asked():
    model = popularity([("a", "x", 90)])
    model.scores(NOBODY)[:] = np.nan
    assert np.isfinite(model.scores(NOBODY)).all()

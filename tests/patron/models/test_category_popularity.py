from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from patron.models.base import CustomerHistory
from patron.models.catalogue import Catalogue
from patron.models.category_popularity import CategoryPopularity, CategoryPopularityConfig
from tests.purchases import checkerboard, history, once, others_of, purchases
from tests.recommender_contract import RecommenderContract


def shelved(product_ids, categories):
    """A catalogue in which `categories` names the category of each product."""
    return replace(Catalogue.of(product_ids), categories=np.asarray(categories, dtype=np.str_))


def squares(interactions):
    parity = ["even" if each[1:] in {"0", "2", "4", "6"} else "odd" for each in interactions.product_ids]
    return shelved(interactions.product_ids, parity)


class TestCategoryPopularity(RecommenderContract):
    def unfitted(self):
        return CategoryPopularity(CategoryPopularityConfig(window_days=60))

    def fitted(self, interactions=None, seed=7, threads=1):
        interactions = checkerboard() if interactions is None else interactions
        model = self.unfitted()
        model.fit(interactions, squares(interactions), seed=seed, threads=threads)
        return model

    def test_fitting_again_forgets_the_first_fit(self):
        model = self.fitted(purchases([("a", "x", 1), ("b", "y", 2)]))
        model.scores(once("x"))
        model.fit(checkerboard(), squares(checkerboard()))
        np.testing.assert_array_equal(self.answers(model), self.answers(self.fitted()))

    @pytest.mark.parametrize("i", range(8))
    def test_the_missing_square_of_the_checkerboard_comes_first(self, i):
        model = self.fitted()
        scores = model.scores(others_of(i))
        scores[model.index.positions(others_of(i).product_ids)] = 0
        assert model.product_ids[np.argmax(scores)] == f"p{i}"
        assert (scores > 0).sum() == 1


ROWS = [
    ("a", "tea", 90), ("b", "tea", 91), ("c", "tea", 92), ("c", "tea", 93), ("a", "cocoa", 94),
    ("a", "nail", 95), ("b", "odds", 96), ("a", "coffee", 1),
]  # fmt: skip
SHELVES = {
    "cocoa": "drinks",
    "coffee": "drinks",
    "nail": "tools",
    "odds": "",
    "saw": "tools",
    "tea": "drinks",
}


def fitted(known=True, **config):
    model = CategoryPopularity(CategoryPopularityConfig(**config))
    interactions = purchases(ROWS, products=list(SHELVES))
    model.fit(interactions, shelved(interactions.product_ids, list(SHELVES.values())) if known else None)
    return model


def scored(model, bought):
    return dict(zip(model.product_ids.tolist(), model.scores(bought).tolist(), strict=True))


def test_the_share_of_the_category_times_the_share_within_it():
    scores = scored(fitted(), once("coffee", "cocoa", "tea", "saw"))
    assert scores["tea"] == pytest.approx(3 / 4 * 3 / 4)
    assert scores["cocoa"] == pytest.approx(3 / 4 * 1 / 4)
    assert scores["nail"] == pytest.approx(1 / 4)


def test_what_was_not_bought_lately_or_has_no_category_says_nothing():
    scores = scored(fitted(), once("tea", "odds"))
    assert scores["coffee"] == scores["odds"] == scores["saw"] == scores["nail"] == 0
    assert scored(fitted(window_days=100), once("tea"))["coffee"] == pytest.approx(1 / 5)


def test_recent_and_frequent_purchases_make_a_category_the_customers_own():
    lately = scored(fitted(), history(("saw", 1, 60.0, None), ("tea", 1, 0.0, None)))
    assert lately["nail"] == pytest.approx(1 / 3)
    often = scored(fitted(half_life_days=0), history(("tea", 1, 5.0, None), ("saw", 9, 5.0, 1.0)))
    assert often["nail"] == pytest.approx((1 + np.log(9)) / (2 + np.log(9)))


def test_without_a_catalogue_or_a_history_there_is_nothing_to_say():
    assert not fitted(known=False).scores(once("tea")).any()
    assert not fitted().scores(CustomerHistory.empty()).any()
    assert not fitted().scores(once("odds")).any()

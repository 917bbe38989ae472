from __future__ import annotations

import numpy as np
import pytest

from patron.models.als import ALS, ALSConfig
from patron.models.base import CustomerHistory
from tests.purchases import checkerboard, history, once, others_of, purchases
from tests.recommender_contract import RecommenderContract

SMALL = {"factors": 4, "iterations": 10}


class TestALS(RecommenderContract):
    def unfitted(self):
        return ALS(ALSConfig(**SMALL))


class TestALSWithBM25(RecommenderContract):
    def unfitted(self):
        return ALS(ALSConfig(confidence="bm25", **SMALL))


class TestALSWithoutCounts(RecommenderContract):
    def unfitted(self):
        return ALS(ALSConfig(confidence="one", **SMALL))


@pytest.fixture(scope="module")
def model():
    found = ALS(ALSConfig(factors=4, iterations=20, regularization=0.01, half_life_days=0))
    found.fit(checkerboard(16), seed=3)
    return found


@pytest.mark.parametrize("i", range(16))
def test_the_missing_square_of_the_checkerboard_comes_first(model, i):
    scores = model.scores(others_of(i, 16))
    scores[model.index.positions(others_of(i, 16).product_ids)] = 0
    assert model.product_ids[np.argmax(scores)] == f"p{i}"


def test_a_customer_is_folded_in_as_implicit_does_it(model):
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy import sparse
    from threadpoolctl import threadpool_limits

    bought = others_of(2, 16)
    row = np.zeros((1, 16), dtype=np.float32)
    row[0, model.index.positions(bought.product_ids)] = 1
    with threadpool_limits(1, user_api="blas"):
        peer = AlternatingLeastSquares(factors=4, regularization=0.01, num_threads=1)
        peer.item_factors = model.item_factors
        expected = peer.recalculate_user(0, sparse.csr_matrix(row))
    np.testing.assert_allclose(model.customer_factors(bought), expected, rtol=1e-3, atol=1e-4)


def test_no_history_has_no_taste(model):
    assert not model.scores(CustomerHistory.empty()).any()


def test_a_product_twice_in_one_order_counts_once():
    rows = [("a", "x", 1), ("a", "x", 1), ("b", "y", 2), ("b", "x", 2)]
    left, right = ALS(ALSConfig(**SMALL)), ALS(ALSConfig(**SMALL))
    left.fit(purchases(rows), seed=1)
    right.fit(purchases(rows[1:]), seed=1)
    np.testing.assert_array_equal(left.scores(once("x")), right.scores(once("x")))


def test_recent_purchases_weigh_more():
    model = ALS(ALSConfig(factors=4, iterations=20, regularization=0.01, half_life_days=30))
    model.fit(checkerboard(16), seed=3)
    torn = history(*((f"p{j}", 1, 5.0 if j % 2 else 200.0, None) for j in range(8)))
    scores = model.scores(torn)
    assert scores[9::2].min() > scores[8::2].max()

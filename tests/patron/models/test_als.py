from __future__ import annotations

import numpy as np
import pytest

from patron.models import als
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


class TestALSWithAPenaltyForAll(RecommenderContract):
    def unfitted(self):
        return ALS(ALSConfig(regularization_exponent=0, **SMALL))


class TestALSWithoutCounts(RecommenderContract):
    def unfitted(self):
        return ALS(ALSConfig(confidence="one", **SMALL))


@pytest.fixture(scope="module")
def model():
    found = ALS(ALSConfig(factors=4, iterations=20, regularization=0.01, alpha=1.0, half_life_days=0))
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
        peer = AlternatingLeastSquares(factors=4, regularization=0.01 * 7, num_threads=1)
        peer.item_factors = model.item_factors
        expected = peer.recalculate_user(0, sparse.csr_matrix(row))
    np.testing.assert_allclose(model.customer_factors(bought), expected, rtol=1e-3, atol=1e-4)


# Customer a buys everything, e one thing; p0 is bought by all, p4 by one.
STAIRS = [(who, f"p{j}", 50 + j) for i, who in enumerate("abcde") for j in range(5 - i)]


def stairs(iterations=10, **config):
    found = ALS(ALSConfig(factors=2, iterations=iterations, half_life_days=0, **config))
    found.fit(purchases(STAIRS), seed=3)
    return found


def test_without_an_exponent_the_factors_are_those_of_implicit():
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy import sparse
    from threadpoolctl import threadpool_limits

    bought = np.asarray([[j < 5 - i for j in range(5)] for i in range(5)], dtype=np.float32)
    with threadpool_limits(1, user_api="blas"):
        peer = AlternatingLeastSquares(
            factors=2, regularization=0.3, iterations=10, random_state=3, num_threads=1
        )
        peer.fit(sparse.csr_matrix(2 * bought), show_progress=False)
    found = stairs(regularization=0.3, regularization_exponent=0, alpha=2.0)
    np.testing.assert_allclose(found.item_factors, peer.item_factors, atol=1e-5)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_the_penalty_grows_with_the_purchases_of_customers_and_products(exponent):
    """At rest each vector is the ridge solution given the other side, its penalty scaled by its entries."""
    found = stairs(iterations=300, regularization=0.3, regularization_exponent=exponent, alpha=2.0)
    bought = np.asarray([[j < 5 - i for j in range(5)] for i in range(5)])
    customers = np.stack([found.customer_factors(once(*found.product_ids[row])) for row in bought])
    penalties = 0.3 * bought.sum(axis=1) ** exponent
    np.testing.assert_allclose(customers, ridge(bought, found.item_factors, penalties), atol=1e-4)
    np.testing.assert_allclose(found.item_factors, ridge(bought.T, customers, penalties), atol=1e-3)


def ridge(bought, other, penalties, alpha=2.0):
    """Each row's vector, with weight alpha where bought and 1 elsewhere."""
    weights = np.where(bought, alpha, 1.0)
    return np.stack([
        np.linalg.solve(other.T * weight @ other + penalty * np.eye(other.shape[1]), other.T @ (alpha * row))
        for row, weight, penalty in zip(bought, weights, penalties, strict=True)
    ])  # fmt: skip


def test_a_penalty_of_nothing_is_no_penalty():
    assert np.isfinite(stairs(regularization=0.0, alpha=2.0).scores(once("p1"))).all()


def test_penalties_are_cut_into_a_few_levels_of_equal_ratio():
    penalties = np.geomspace(1.0, 2.0**als.PENALTY_LEVELS, 10 * als.PENALTY_LEVELS)
    starts = als._level_starts(penalties)
    assert len(starts) == als.PENALTY_LEVELS
    for start, end in zip(starts, [*starts[1:], len(penalties)], strict=True):
        assert penalties[end - 1] / penalties[start] < 2.01
    assert als._level_starts(np.full(5, 0.3)) == [0]


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

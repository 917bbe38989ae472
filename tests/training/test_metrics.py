"""Every metric against values worked out by hand, and against scikit-learn where it has the metric."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training import metrics

HITS = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
RELEVANT = np.array([3, 2, 1])


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


class TestRanking:
    def test_recall_divides_by_what_could_be_found(self):
        assert metrics.recall_at(HITS, RELEVANT, 2) == pytest.approx([1 / 2, 0, 1])
        assert metrics.recall_at(HITS, RELEVANT, 4) == pytest.approx([2 / 3, 0, 1])

    def test_recall_of_nothing_relevant_is_nothing(self):
        assert metrics.recall_at(np.zeros((1, 4), dtype=bool), np.array([0]), 4) == [0]

    def test_ndcg_by_hand(self):
        ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
        first = (1 + 1 / math.log2(4)) / ideal
        assert metrics.ndcg_at(HITS, RELEVANT, 4) == pytest.approx([first, 0, 1 / math.log2(3)])

    def test_ndcg_of_a_perfect_list_is_one_also_when_more_is_relevant_than_shown(self):
        assert metrics.ndcg_at(np.ones((1, 3), dtype=bool), np.array([50]), 3) == pytest.approx([1])

    def test_ndcg_agrees_with_scikit_learn(self):
        from sklearn.metrics import ndcg_score

        rng = np.random.default_rng(1)
        relevance = rng.random((20, 30)) < 0.2
        relevance[:, 0] = True
        scores = rng.random((20, 30))
        order = np.argsort(-scores, axis=1)
        hits = np.take_along_axis(relevance, order, axis=1)
        ours = metrics.ndcg_at(hits, relevance.sum(axis=1), 10).mean()
        assert ours == pytest.approx(ndcg_score(relevance, scores, k=10))

    def test_hit_rate(self):
        assert metrics.hit_rate_at(HITS, 1).tolist() == [1, 0, 0]
        assert metrics.hit_rate_at(HITS, 2).tolist() == [1, 0, 1]

    def test_coverage_counts_products_once_and_no_empty_places(self):
        assert metrics.coverage(np.array([[0, 1], [1, -1]]), 8) == 2 / 8

    def test_novelty_is_self_information_in_bits(self):
        found = metrics.novelty(np.array([[0, 1], [1, -1], [-1, -1]]), floats(8, 2), 8)
        assert found == pytest.approx([(0 + 2) / 2, 2, 0])

    def test_novelty_of_a_product_that_nobody_bought_counts_one_buyer(self):
        assert metrics.novelty(np.array([[0]]), floats(0), 16) == pytest.approx([4])

    def test_diversity_is_the_share_of_pairs_that_differ(self):
        lists = [["a", "a", "b"], ["a", "b"], ["a", "a"], ["a"], []]
        assert metrics.intra_list_diversity(lists) == pytest.approx([2 / 3, 1, 0, 0, 0])

    @given(arrays(bool, (4, 8)), st.integers(1, 8))
    def test_bounds(self, hits, k):
        relevant = hits.sum(axis=1) + 1
        for found in (metrics.recall_at(hits, relevant, k), metrics.ndcg_at(hits, relevant, k)):
            assert ((found >= 0) & (found <= 1 + 1e-12)).all()


class TestChurn:
    y, p = floats(0, 0, 1, 1), floats(0.1, 0.4, 0.35, 0.8)

    def test_roc_auc_by_hand(self):
        assert metrics.roc_auc(self.y, self.p) == 3 / 4

    def test_roc_auc_of_ties_is_half(self):
        assert metrics.roc_auc(self.y, np.ones(4)) == 0.5
        assert metrics.roc_auc(floats(0, 1), floats(0.3, 0.3)) == 0.5

    def test_roc_auc_of_one_class_is_unknown(self):
        assert math.isnan(metrics.roc_auc(np.ones(3), floats(1, 2, 3)))
        assert math.isnan(metrics.roc_auc(np.zeros(3), floats(1, 2, 3)))

    def test_pr_auc_by_hand(self):
        assert metrics.pr_auc(self.y, self.p) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
        assert math.isnan(metrics.pr_auc(np.zeros(3), floats(1, 2, 3)))

    def test_brier_and_log_loss_by_hand(self):
        assert metrics.brier(floats(1, 0), floats(0.8, 0.4)) == pytest.approx((0.04 + 0.16) / 2)
        expected = -(math.log(0.8) + math.log(0.6)) / 2
        assert metrics.log_loss(floats(1, 0), floats(0.8, 0.4)) == pytest.approx(expected)

    def test_log_loss_of_a_certain_mistake_is_finite(self):
        assert metrics.log_loss(floats(1), floats(0)) == pytest.approx(-math.log(1e-6))

    def test_the_same_as_scikit_learn(self):
        from sklearn import metrics as reference

        rng = np.random.default_rng(2)
        y = (rng.random(300) < 0.3).astype(float)
        p = np.round(np.clip(0.3 * y + 0.6 * rng.random(300), 0.01, 0.99), 2)  # rounded: with ties
        assert metrics.roc_auc(y, p) == pytest.approx(reference.roc_auc_score(y, p))
        assert metrics.pr_auc(y, p) == pytest.approx(reference.average_precision_score(y, p))
        assert metrics.brier(y, p) == pytest.approx(reference.brier_score_loss(y, p))
        assert metrics.log_loss(y, p) == pytest.approx(reference.log_loss(y, p))

    def test_calibration_error_by_hand(self):
        y, p = floats(0, 1, 1, 1), floats(0.2, 0.4, 0.7, 0.9)
        halves = abs(0.5 - 0.3) / 2 + abs(1 - 0.8) / 2
        assert metrics.expected_calibration_error(y, p, bins=2) == pytest.approx(halves)

    def test_calibration_error_with_fewer_customers_than_bins(self):
        assert metrics.expected_calibration_error(floats(1, 0), floats(0.9, 0.2)) == pytest.approx(0.15)

    def test_lift_by_hand(self):
        y, p = floats(1, 0, 0, 0, 1, 0, 0, 0, 0, 0), np.arange(10, 0, -1.0)
        assert metrics.lift_at(y, p) == pytest.approx(1 / 0.2)
        assert metrics.lift_at(y, p, 0.5) == pytest.approx(0.4 / 0.2)
        assert math.isnan(metrics.lift_at(np.zeros(4), floats(1, 2, 3, 4)))

    def test_profit_of_a_perfect_ranking_is_that_of_contacting_the_churners(self):
        y, score = floats(*[1] * 30, *[0] * 70), np.arange(100, 0, -1.0)
        mean_accepted = 6 / (6 + 14)
        by_hand = 0.3 * (mean_accepted * (200 - 10) - 1)
        assert metrics.expected_maximum_profit(y, score) == pytest.approx(by_hand, rel=1e-3)

    def test_profit_is_never_below_that_of_doing_nothing_and_falls_with_the_ranking(self):
        y, score = floats(*[1] * 5, *[0] * 95), np.arange(100, 0, -1.0)
        best, worst = (metrics.expected_maximum_profit(y, each) for each in (score, -score))
        assert 0 <= worst < best
        assert metrics.expected_maximum_profit(np.zeros(10), np.arange(10.0)) == 0

    @given(arrays(float, 30, elements=st.integers(0, 1)), st.integers(0, 2**20))
    def test_profit_is_that_of_the_best_top_of_the_ranking_for_each_acceptance(self, y, seed):
        score = np.random.default_rng(seed).random(30)
        ordered = y[np.argsort(-score)]
        accepted = metrics.acceptance(6.0, 14.0, 200)
        tops = [(ordered[:k].sum() / 30, (1 - ordered[:k]).sum() / 30) for k in range(31)]
        best = [max(left * (a * 190 - 1) - stay * 11 for left, stay in tops) for a in accepted]
        assert metrics.expected_maximum_profit(y, score) == pytest.approx(np.mean(best))

    @given(arrays(float, 20, elements=st.floats(0, 1)), st.integers(0, 2**20))
    def test_auc_turns_around_with_the_score(self, score, seed):
        y = np.random.default_rng(seed).permutation(floats(*[1] * 8, *[0] * 12))
        assert metrics.roc_auc(y, score) + metrics.roc_auc(y, -score) == pytest.approx(1)


class TestValue:
    def test_gini_by_hand(self):
        actual = floats(0, 1, 2, 5)
        assert metrics.gini(actual, floats(1, 2, 3, 4)) == pytest.approx(1)
        assert metrics.gini(actual, floats(4, 3, 2, 1)) == pytest.approx(-1)
        best = 0 * -1.5 + 1 * -0.5 + 2 * 0.5 + 5 * 1.5
        swapped = 0 * -1.5 + 1 * 0.5 + 2 * -0.5 + 5 * 1.5
        assert metrics.gini(actual, floats(1, 3, 2, 4)) == pytest.approx(swapped / best)

    def test_ties_share_their_mean_rank_in_every_order(self):
        assert metrics.gini(floats(0, 5, 1), floats(2, 2, 2)) == pytest.approx(0)
        half = metrics.gini(floats(0, 5, 9), floats(1, 1, 2))
        assert half == metrics.gini(floats(5, 0, 9), floats(1, 1, 2)) == pytest.approx((9 - 2.5) / 9)

    def test_gini_refuses_what_cannot_be_compared(self):
        with pytest.raises(ValueError, match="found 2 and 1"):
            metrics.gini(floats(1, 2), floats(1))
        with pytest.raises(ValueError, match="found 0 and 0"):
            metrics.gini(floats(), floats())

    def test_gini_without_any_difference_is_unknown(self):
        assert math.isnan(metrics.gini(floats(3, 3), floats(1, 2)))

    @given(st.permutations(range(8)), st.floats(0.1, 1000))
    def test_gini_knows_ranks_only(self, ranks, scale):
        actual, predicted = np.arange(8.0) ** 2, np.array(ranks, dtype=float)
        found = metrics.gini(actual, predicted)
        assert -1 - 1e-12 <= found <= 1 + 1e-12
        assert metrics.gini(actual * scale, np.exp(predicted)) == pytest.approx(found)

    def test_spearman_agrees_with_scipy(self):
        from scipy.stats import spearmanr

        rng = np.random.default_rng(3)
        one, other = rng.integers(0, 5, 60).astype(float), rng.normal(size=60)
        assert metrics.spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)
        assert math.isnan(metrics.spearman(one, np.ones(60)))

    def test_errors_by_hand(self):
        actual, predicted = floats(10, 0, 2), floats(7, 4, 2)
        assert metrics.mae(actual, predicted) == pytest.approx(7 / 3)
        assert metrics.rmse(actual, predicted) == pytest.approx(math.sqrt(25 / 3))
        assert metrics.total_bias(actual, predicted) == pytest.approx(1 / 12)
        assert math.isnan(metrics.total_bias(np.zeros(2), floats(1, 2)))

    def test_deciles_are_groups_of_equal_count_by_prediction(self):
        found = metrics.deciles(floats(1, 2, 3, 4), floats(4, 3, 2, 1), groups=2)
        assert found == [(1.5, 3.5), (3.5, 1.5)]
        assert len(metrics.deciles(floats(1, 2), floats(1, 2))) == 2

    def test_interval_coverage_counts_the_ends(self):
        found = metrics.interval_coverage(floats(1, 2, 3, 4), floats(1, 0, 4, 0), floats(2, 2, 5, 3))
        assert found == 2 / 4


def test_the_calibration_band_of_one_customer_a_bin():
    """Ten customers at one half: every bin is off by exactly one half."""
    assert metrics.calibration_band(np.full(10, 0.5), seed=1) == pytest.approx(0.5)


def test_the_calibration_band_of_the_certain_is_nothing():
    assert metrics.calibration_band(np.repeat([0.0, 1.0], 50), seed=1) == 0


def test_the_calibration_band_is_that_of_absolute_normals():
    """Large bins: the error is the mean of ten |N(0, p(1-p)/m)|, whose 95% quantile follows from moments."""
    size, p = 20_000, 0.3
    deviation = np.sqrt(p * (1 - p) / (size / 10))
    mean, spread = np.sqrt(2 / np.pi) * deviation, np.sqrt((1 - 2 / np.pi) / 10) * deviation
    found = metrics.calibration_band(np.full(size, p), seed=1)
    assert found == pytest.approx(mean + 1.7 * spread, rel=0.05)


def test_a_perfect_forecast_lies_in_its_calibration_band():
    rng = np.random.default_rng(3)
    inside = []
    for seed in range(60):
        probability = rng.beta(2, 2, 400)
        outcome = (rng.random(400) < probability).astype(float)
        found = metrics.expected_calibration_error(outcome, probability)
        inside.append(found <= metrics.calibration_band(probability, seed, rounds=200))
    assert np.mean(inside) > 0.85


def test_the_calibration_band_takes_fewer_customers_than_bins():
    assert 0 < metrics.calibration_band(np.array([0.2, 0.7]), seed=1) < 1


def test_the_shape_error_is_what_the_level_does_not_explain():
    """Probabilities whose log-odds are all one too low: the level alone is wrong."""
    rng = np.random.default_rng(5)
    odds = rng.normal(0, 1.5, 40_000)
    outcome = (rng.random(len(odds)) < 1 / (1 + np.exp(-odds))).astype(float)
    low = 1 / (1 + np.exp(1 - odds))
    assert metrics.at_level(outcome, low).mean() == pytest.approx(outcome.mean(), abs=1e-5)
    assert metrics.expected_calibration_error(outcome, low) > 0.15
    assert metrics.shape_error(outcome, low) < metrics.calibration_band(low, seed=1)


def test_no_level_explains_one_outcome():
    assert np.isnan(metrics.shape_error(np.ones(20), np.full(20, 0.4)))

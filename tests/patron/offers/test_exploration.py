"""Chances of arms: they add up to 1, shares are those of the posterior, logged chances are true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patron.offers.exploration import draw, propensities, thompson_shares
from patron.offers.terms import OfferTerms
from tests.patron.models.offer_shop import CUSTOMERS, OFFERS, log, policy

DECISIONS, SHOWN = 100_000, 10_000
NEW = (*OFFERS, OfferTerms(offer_id="new", kind="points", cost=1.0))
"""With two groups that nobody knows."""


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


class TestShares:
    def test_equal_arms_are_best_equally_often(self):
        shares = thompson_shares(np.zeros(4), np.zeros(4), np.ones(4), np.zeros(4))
        assert shares == pytest.approx([0.25] * 4, abs=0.02)
        assert shares.sum() == pytest.approx(1)

    def test_two_arms_as_counted_by_hand(self):
        # P(Beta(2, 1) > Beta(1, 1)): the integral of 2x * x over 0..1 is 2/3.
        shares = thompson_shares(floats(1, 0), floats(0, 0), np.ones(2), np.zeros(2))
        assert shares == pytest.approx([2 / 3, 1 / 3], abs=0.005)

    def test_much_evidence_leaves_nothing_to_the_worse(self):
        shares = thompson_shares(floats(500, 900), floats(9500, 9100), np.ones(2), np.zeros(2))
        assert shares.tolist() == [0, 1]

    def test_an_arm_of_fixed_worth_is_best_as_often_as_the_others_fall_short_of_it(self):
        # `none` is worth 0, the offer 10 * rate - 2.5 with a uniform rate: below 0 a quarter of the times.
        shares = thompson_shares(np.zeros(2), np.zeros(2), floats(0, 10), floats(0, -2.5))
        assert shares == pytest.approx([0.25, 0.75], abs=0.005)

    def test_an_arm_that_cannot_be_shown_is_never_best(self):
        shares = thompson_shares(floats(0, 50), np.zeros(2), np.ones(2), floats(0, -np.inf))
        assert shares.tolist() == [1, 0]

    def test_arms_may_have_priors_of_their_own(self):
        prior = np.array([[1.0, 99.0], [99.0, 1.0]])
        assert thompson_shares(np.zeros(2), np.zeros(2), np.ones(2), np.zeros(2), prior).tolist() == [0, 1]

    def test_the_same_counts_have_the_same_shares(self):
        asked = (floats(3, 1, 0), floats(40, 9, 2), floats(5, 8, 9), np.zeros(3), (1.0, 30.0))
        assert np.array_equal(thompson_shares(*asked), thompson_shares(*asked))

    def test_negative_counts_and_no_arms_are_refused(self):
        with pytest.raises(ValueError, match="at least one arm"):
            thompson_shares(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
        with pytest.raises(ValueError, match="0 or more"):
            thompson_shares(floats(-1), floats(0), floats(1), floats(0))


class TestPropensities:
    def test_greedy_with_a_floor(self):
        assert propensities(1, None, 0.1, 0.0, 4) == pytest.approx([0.025, 0.925, 0.025, 0.025])

    def test_what_is_learned_goes_by_shares_and_without_them_to_the_best(self):
        shares = floats(0.5, 0, 0.5, 0)
        assert propensities(1, shares, 0.1, 0.2, 4) == pytest.approx([0.125, 0.725, 0.125, 0.025])
        assert propensities(1, None, 0.1, 0.2, 4) == pytest.approx([0.025, 0.925, 0.025, 0.025])

    @given(st.integers(1, 12), st.floats(0, 1), st.floats(0, 1), st.randoms(use_true_random=False))
    def test_they_add_up_to_one_and_keep_the_floor(self, arms, epsilon, thompson, random):
        thompson *= 1 - epsilon
        shares = np.array([random.random() + 1e-9 for _ in range(arms)])
        found = propensities(random.randrange(arms), shares / shares.sum(), epsilon, thompson, arms)
        assert found.sum() == pytest.approx(1)
        assert (found >= epsilon / arms - 1e-12).all()

    def test_more_than_all_decisions_is_refused(self):
        with pytest.raises(ValueError, match="above 1"):
            propensities(0, None, 0.6, 0.6, 2)
        with pytest.raises(ValueError, match="2 shares for 3 arms"):
            propensities(0, floats(0.5, 0.5), 0.1, 0.1, 3)


class TestDrawing:
    def test_shown_shares_match_logged_propensities_within_three_standard_errors(self):
        """100,000 decisions of customers who differ in the best arm and in what was learned of it."""
        rng = np.random.default_rng(20170101)
        arms, situations = 6, []
        for best in range(arms):
            counts = rng.integers(0, 40, size=(2, arms)).astype(float)
            shares = thompson_shares(counts[0], counts[1] + 20, rng.uniform(1, 9, arms), np.zeros(arms))
            situations.append(propensities(best, shares, 0.1, 0.2, arms))
        logged = np.array(situations)[rng.integers(arms, size=DECISIONS)]
        shown = np.array([draw(each, rng) for each in logged])
        assert_true(logged, shown)

    def test_the_policy_shows_what_it_logs(self):
        """Customers who differ, offers nobody knows among them; fewer, since each decision takes words."""
        model = policy(log(1500), epsilon=0.1, thompson=0.2, candidates=("flag",))
        worth = model.worth({name: np.asarray(values)[::60] for name, values in CUSTOMERS.rows.items()}, NEW)
        customers, rng = len(worth.segments), np.random.default_rng(6)
        chances = np.array([model.propensities(worth, row) for row in range(customers)])
        rows = np.arange(SHOWN) % customers
        decisions = [model.decided(worth, row, 1, rng)[0] for row in rows.tolist()]
        shown = np.array([worth.names.index(each.offer_id) for each in decisions])
        assert_true(chances[rows], shown)
        assert [each.propensity for each in decisions] == chances[rows, shown].tolist()

    def test_an_arm_without_a_chance_is_never_drawn(self):
        rng = np.random.default_rng(0)
        chances = floats(0, 0.5, 0, 0.5, 0)
        assert {draw(chances, rng) for _ in range(2000)} == {1, 3}


def assert_true(logged: np.ndarray, shown: np.ndarray) -> None:
    """Every arm was shown as often as its logged chances say, within 3 standard errors of the count."""
    counts = np.bincount(shown, minlength=logged.shape[1])
    errors = np.sqrt((logged * (1 - logged)).sum(axis=0))
    assert (np.abs(counts - logged.sum(axis=0)) <= 3 * errors).all()

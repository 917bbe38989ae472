"""Off-policy estimates: by hand, against policies of known value, and refused where a log cannot tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training import off_policy

UNIFORM = np.array([0.25, 0.25, 0.25, 0.25])
TARGET = np.array([0.7, 0.1, 0.1, 0.1])
RATES = np.array([0.3, 0.1, 0.2, 0.05])
TRUTH = float(TARGET @ RATES)


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def log(rows: int, seed: int, logging: np.ndarray = UNIFORM) -> tuple[np.ndarray, np.ndarray]:
    """(action, reward) of a policy that shows four arms with these chances."""
    rng = np.random.default_rng(seed)
    action = rng.choice(4, size=rows, p=logging)
    return action, (rng.random(rows) < RATES[action]).astype(np.float64)


def judged(rows: int, seed: int, logging: np.ndarray = UNIFORM, target: np.ndarray = TARGET, **options):
    action, reward = log(rows, seed, logging)
    return off_policy.estimate(reward, logging[action], target[action], **options)


class TestByHand:
    reward, propensity, target = floats(1, 0, 2, 0), floats(0.5, 0.5, 0.25, 1), floats(1, 0, 0.5, 1)
    # weights 2, 0, 2, 1

    def test_ips_snips_and_effective_samples(self):
        found = off_policy.estimate(self.reward, self.propensity, self.target, clip=math.inf)
        assert found.ips.value == pytest.approx((2 + 4) / 4)
        assert found.snips.value == pytest.approx((2 + 4) / 5)
        assert found.effective_samples == pytest.approx(25 / 9)
        assert (found.mean_weight, found.clipped_share, found.missing) == (1.25, 0, 0)

    def test_doubly_robust(self):
        found = off_policy.estimate(
            *(self.reward, self.propensity, self.target),
            clip=math.inf,
            model_taken=floats(1, 0, 1, 1),
            model_target=floats(1, 1, 0, 1),
        )
        assert found.dr is not None
        assert found.dr.value == pytest.approx((1 + 1 + (0 + 2 * 1) + (1 - 1)) / 4)
        assert found.best == found.dr

    def test_clipping_is_counted(self):
        found = off_policy.estimate(self.reward, self.propensity, self.target, clip=1.5)
        assert found.ips.value == pytest.approx((1.5 + 3) / 4)
        assert (found.clipped_share, found.missing) == (0.5, 0.25)
        assert found.effective_samples == pytest.approx(25 / 9)

    def test_standard_error_is_that_of_a_mean(self):
        found = off_policy.mean(floats(1, 2, 3, 4))
        assert found.error == pytest.approx(np.std([1, 2, 3, 4], ddof=1) / 2)
        assert found.high - found.value == pytest.approx(1.959964 * found.error)

    def test_rows_of_one_customer_count_once(self):
        rows = floats(1, 2, 3, 4)
        doubled = off_policy.mean(np.repeat(rows, 50), np.repeat(np.arange(4), 50))
        assert doubled.error == pytest.approx(off_policy.mean(rows).error)

    def test_contributions_average_to_the_estimates(self):
        model = {"model_taken": floats(1, 0, 1, 1), "model_target": floats(1, 1, 0, 1)}
        asked = (self.reward, self.propensity, self.target)
        found, rows = off_policy.estimate(*asked, **model), off_policy.contributions(*asked, **model)
        assert rows.ips.mean() == pytest.approx(found.ips.value)
        assert rows.snips.mean() == pytest.approx(found.snips.value)
        assert rows.best.mean() == pytest.approx(found.best.value)


class TestKnownPolicies:
    def test_a_policy_judged_on_its_own_log_has_the_mean_reward(self):
        action, reward = log(2000, 0)
        found = off_policy.estimate(reward, UNIFORM[action], UNIFORM[action])
        assert found.ips.value == pytest.approx(reward.mean())
        assert found.snips.value == pytest.approx(reward.mean())
        assert found.effective_samples == pytest.approx(2000)

    @pytest.mark.parametrize("name", ["ips", "snips", "dr"])
    def test_intervals_cover_the_true_value_as_often_as_they_say(self, name):
        covered = 0
        for seed in range(300):
            action, reward = log(1000, seed)
            model = RATES + 0.05
            value = getattr(
                off_policy.estimate(
                    *(reward, UNIFORM[action], TARGET[action]),
                    model_taken=model[action],
                    model_target=np.full(1000, float(TARGET @ model)),
                ),
                name,
            )
            covered += value.low <= TRUTH <= value.high
        assert 0.91 <= covered / 300 <= 0.99

    def test_a_good_model_narrows_the_interval_and_a_wrong_one_does_not_mislead(self):
        rng = np.random.default_rng(0)
        kind = rng.normal(0, 3, 5000)
        action, _ = log(5000, 0)
        reward = kind + RATES[action]
        right = judged_with(reward, action, kind + RATES[action], kind + TRUTH)
        wrong = judged_with(reward, action, np.full(5000, 9.0), np.full(5000, 9.0))
        assert right.dr.error < 0.75 * right.snips.error
        assert right.dr.low <= kind.mean() + TRUTH <= right.dr.high
        assert wrong.dr.low <= kind.mean() + TRUTH <= wrong.dr.high

    def test_differences_on_one_log_are_paired(self):
        action, reward = log(4000, 1)
        one, other = (
            off_policy.contributions(reward, UNIFORM[action], chances[action]).best
            for chances in (TARGET, np.array([0.6, 0.2, 0.1, 0.1]))
        )
        found = off_policy.difference(one, other)
        assert found.low <= 0.1 * (0.3 - 0.1) <= found.high
        assert found.error < off_policy.mean(one).error


def judged_with(reward, action, taken, target):
    return off_policy.estimate(
        reward, UNIFORM[action], TARGET[action], model_taken=taken, model_target=target
    )


class TestRefusal:
    def test_too_few_effective_samples(self):
        sure = np.array([0.997, 0.001, 0.001, 0.001])
        found = judged(10_000, 0, logging=sure, target=np.array([0.0, 1.0, 0.0, 0.0]))
        assert not found.concludes
        assert found.effective_samples < 30
        assert "Only" in found.why and "under the 300 asked for" in found.why

    def test_the_least_may_be_set(self):
        assert not judged(500, 0).concludes
        assert judged(500, 0, least=100).concludes

    def test_enough_effective_samples_conclude(self):
        found = judged(2000, 0)
        assert found.concludes
        assert "effective samples of 2,000" in found.why

    def test_propensities_that_are_not_those_of_the_log(self):
        action, reward = log(20_000, 0, np.array([0.4, 0.2, 0.2, 0.2]))
        found = off_policy.estimate(reward, UNIFORM[action], TARGET[action])
        assert not found.concludes
        assert "average 1.3" in found.why

    def test_nothing_logged(self):
        found = off_policy.estimate(np.zeros(0), np.zeros(0), np.zeros(0))
        assert (found.concludes, found.why) == (False, "Nothing was logged.")

    def test_a_policy_that_shows_only_what_never_was_shown(self):
        found = off_policy.estimate(np.ones(500), np.full(500, 0.5), np.zeros(500))
        assert not found.concludes
        assert found.effective_samples == 0
        assert math.isnan(found.snips.value)

    @pytest.mark.parametrize("propensity", [0.0, -0.1, 1.1, np.nan])
    def test_impossible_propensities_are_named(self, propensity):
        with pytest.raises(ValueError, match="1 of 2 logged propensities"):
            off_policy.estimate(np.ones(2), floats(0.5, propensity), np.ones(2))

    def test_lengths_and_rewards_are_checked(self):
        with pytest.raises(ValueError, match="one row per decision"):
            off_policy.estimate(np.ones(2), np.ones(3), np.ones(2))
        with pytest.raises(ValueError, match="has a reward"):
            off_policy.estimate(floats(1, np.nan), np.ones(2), np.ones(2))


def test_three_customers_are_no_five_hundred_samples():
    rng = np.random.default_rng(3)
    reward, propensity = rng.random(900), np.full(900, 0.5)
    found = off_policy.estimate(reward, propensity, propensity, groups=np.arange(900) % 3)
    assert found.effective_samples == pytest.approx(3) and not found.concludes
    assert off_policy.estimate(reward, propensity, propensity, groups=np.arange(900) // 2).concludes

"""The read-out's statistics against known answers, and against shops whose truth is known."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from patron.experiments.comparison import compare, cuped
from patron.experiments.sample_ratio import log_bayes_factor, sample_ratio
from patron.experiments.sequential import interval, spread_of

Floats = NDArray[np.float64]
DAYS, A_DAY = 28, 100
PLANNED = DAYS * A_DAY


def customers(seed: int, units: int = PLANNED) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Money before and after, of customers who differ in rate and basket size; most spend nothing."""
    rng = np.random.default_rng(seed)
    rate, basket = rng.gamma(1.0, 1.0, units), np.exp(rng.normal(3.0, 0.5, units))
    before, after = rng.poisson(rate * 2) * basket, rng.poisson(rate * 0.7) * basket
    return before, after, rng.integers(0, 2, units)


def looks(seed: int, effect: float = 0.0) -> tuple[bool, bool]:
    """Whether any of the daily looks finds a difference: (the sequence, a test made for one look)."""
    before, after, arm = customers(seed)
    after = after * (1 + effect * arm)
    found = naive = False
    for units in range(A_DAY, PLANNED + 1, A_DAY):
        seen = cuped(after[:units], before[:units], arm[:units]).outcome
        told = compare(seen, arm[:units], 2, alpha=0.05, planned=PLANNED, least=30)[0]
        assert told.interval is not None
        found |= not told.interval.low <= 0 <= told.interval.high
        naive |= abs(told.difference) > 1.96 * told.standard_error
    return found, naive


def test_looking_daily_at_two_equal_arms_finds_nothing_and_a_test_for_one_look_does() -> None:
    found = np.array([looks(seed) for seed in range(200)])
    assert found[:, 0].mean() <= 0.05
    assert found[:, 1].mean() > 0.15


def test_a_true_effect_is_found() -> None:
    assert np.mean([looks(seed, effect=0.5)[0] for seed in range(10)]) >= 0.9


def test_the_interval_is_tightest_at_the_planned_number() -> None:
    def width(planned: int) -> float:
        found = interval(0.0, 1 / sqrt(1000), 1000, planned, 0.05)
        return found.high - found.low

    assert width(1000) < min(width(900), width(1100))
    rho = spread_of(1000, 0.05)
    expected = sqrt(2 * (1000 * rho + 1) / (1000**2 * rho) * log(sqrt(1000 * rho + 1) / 0.05))
    assert width(1000) == pytest.approx(2 * expected)
    assert width(1000) > 2 * 1.96 / sqrt(1000)


def test_the_p_value_is_the_level_at_which_the_interval_ends_at_zero() -> None:
    found = interval(1.0, 0.31, 500, 1000, 0.05)
    edge = found.estimate - found.low
    at_edge = interval(edge, 0.31, 500, 1000, 0.05)
    assert at_edge.p_value == pytest.approx(0.05)
    assert interval(2.0, 0.31, 500, 1000, 0.05).p_value < 0.001


def test_what_was_there_before_is_taken_out_and_the_effect_stays() -> None:
    """after = 2 * before + noise: all but the noise is explained."""
    rng = np.random.default_rng(3)
    before, noise, arm = rng.normal(0, 1, 20_000), rng.normal(0, 1, 20_000), rng.integers(0, 2, 20_000)
    found = cuped(2 * before + noise + 0.5 * arm, before, arm)
    assert found.theta == pytest.approx(2, abs=0.03)
    assert found.reduction == pytest.approx(0.8, abs=0.01)
    told = compare(found.outcome, arm, 2, alpha=0.05, planned=20_000)[0]
    assert told.difference == pytest.approx(0.5, abs=4 * told.standard_error)
    assert told.standard_error == pytest.approx(2 / sqrt(20_000), rel=0.02)


def test_nothing_is_taken_out_where_there_was_nothing_before() -> None:
    outcome, arm = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 1, 0, 1])
    for before in (None, np.zeros(4)):
        assert np.array_equal(cuped(outcome, before, arm).outcome, outcome)


def test_several_arms_are_each_held_against_the_control() -> None:
    outcome = np.array([1.0, 3.0, 2.0, 4.0, 10.0, 12.0] * 50)
    arm = np.array([0, 0, 1, 1, 2, 2] * 50)
    found = compare(outcome, arm, 3, alpha=0.025, planned=300, least=50)
    assert [each.difference for each in found] == [1.0, 9.0]
    assert [each.relative for each in found] == [0.5, 4.5]
    assert all(each.interval for each in found)
    assert compare(outcome, arm, 3, alpha=0.025, planned=300, least=101)[0].interval is None


# Sample ratio


def test_the_bayes_factor_of_a_tiny_sample() -> None:
    """One unit in one of two even arms: the mixture expects the same, so nothing is learned."""
    assert log_bayes_factor([0, 0], [0.5, 0.5]) == pytest.approx(0)
    assert log_bayes_factor([1, 0], [0.5, 0.5]) == pytest.approx(0)
    assert log_bayes_factor([2, 0], [0.5, 0.5]) == pytest.approx(log((51 / 101 + 501 / 1001) / 2 / 0.5))


def test_a_lost_fifteenth_of_an_arm_is_a_mismatch() -> None:
    assert sample_ratio([10_000, 9_350], [0.5, 0.5]).mismatch
    assert sample_ratio([300, 200], [0.5, 0.5]).mismatch
    assert sample_ratio([1_000, 3_000, 2_700], [0.15, 0.45, 0.4]).mismatch is False
    assert not sample_ratio([10_000, 9_950], [0.5, 0.5]).mismatch
    assert sample_ratio([0, 0], [0.5, 0.5]).p_value == 1


def test_a_sound_ratio_is_called_wrong_no_more_often_than_its_level_says_at_any_look() -> None:
    rng, false, naive = np.random.default_rng(1), 0, 0
    for _ in range(300):
        second = rng.binomial(100, 0.5, 60).cumsum().tolist()
        counts = [(100 * day - seen, seen) for day, seen in enumerate(second, start=1)]
        false += any(log_bayes_factor(each, [0.5, 0.5]) >= log(1 / 0.01) for each in counts)
        naive += any(
            (one - other) ** 2 / (one + other) > 6.635 for one, other in counts
        )  # chi-square, p < .01
    assert false / 300 <= 0.01
    assert naive / 300 > 0.03

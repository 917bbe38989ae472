"""The index by hand, its chance against real permutations, and how far things usually move."""

from __future__ import annotations

import math

import numpy as np
import pytest

from patron.models.stability import Movement, beaten, chance, expected, gaps, psi


def test_the_index_by_hand():
    then, now = np.array([30, 70]) * 10_000, np.array([50, 50]) * 10_000
    by_hand = (0.3 - 0.5) * math.log(0.3 / 0.5) + (0.7 - 0.5) * math.log(0.7 / 0.5)
    assert psi(then, now) == pytest.approx(by_hand, abs=1e-5)
    assert psi(then, then) == 0
    assert psi(np.array([10, 0]), np.array([0, 10])) < math.inf


def test_chance_is_that_of_permuted_rows():
    rng = np.random.default_rng(5)
    then, now = rng.integers(0, 6, 400), rng.integers(0, 6, 150)
    together, found = np.concatenate([then, now]), []
    for _ in range(4000):
        mixed = rng.permutation(together)
        found.append(psi(np.bincount(mixed[:400], minlength=6), np.bincount(mixed[400:], minlength=6)))
    told = chance(np.bincount(then, minlength=6), np.bincount(now, minlength=6), 0.01, rng)
    assert told == pytest.approx(np.quantile(found, 0.99), rel=0.15)


def test_chance_shrinks_with_the_number_of_rows():
    rng = np.random.default_rng(5)
    few, many = np.array([50, 50]), np.array([5000, 5000])
    assert chance(many, many, 0.05, rng) < chance(few, few, 0.05, rng) / 50


def test_nothing_can_happen_by_chance_to_a_constant():
    assert chance(np.array([0, 9, 0]), np.array([0, 5, 0]), 0.05, np.random.default_rng(1)) == pytest.approx(
        psi(np.array([0, 9, 0]), np.array([0, 5, 0]))
    )


def test_gaps_are_the_last_bin_against_the_others():
    assert gaps(np.array([[1, 2, 3], [4, 5, 6]])).tolist() == [[3, 3], [9, 6]]


COUNTED = np.array([[500, 500], [510, 490], [560, 440]])
DAYS = np.array([0.0, 14, 28])


def test_movement_is_the_largest_within_the_days():
    movement = Movement.of(COUNTED, DAYS)
    short, long = psi(COUNTED[1], COUNTED[2]), psi(COUNTED[0], COUNTED[2])
    assert [lag for lag, _ in movement.points] == [14, 28]
    assert movement.usual(14) == movement.usual(3) == movement.usual(20) == short
    assert movement.usual(28) == movement.usual(None) == long > short


def test_further_than_ever_seen_grows_by_the_square():
    movement = Movement.of(COUNTED, DAYS)
    assert movement.usual(84) == pytest.approx(9 * movement.usual(28))


def test_one_moment_tells_of_no_movement():
    assert Movement.of(COUNTED[:1], DAYS[:1]).usual(14) == 0


def test_records_are_beaten_by_moments_of_the_second_half():
    days = 14.0 * np.arange(8)
    steady = np.array([[5000 + 100 * (each % 2), 5000 - 100 * (each % 2)] for each in range(8)])
    assert beaten(steady, days) == 1
    jumped = steady.copy()
    jumped[-1] = [9000, 1000]
    assert beaten(jumped, days) > 100
    assert beaten(steady[:2], days[:2]) == 1


def test_what_chance_makes_of_few_rows_is_no_record():
    same = np.full((6, 2), 50)
    same[-1] = [52, 48]
    assert beaten(same, 14.0 * np.arange(6)) == 1


def test_a_trend_after_a_pause_is_no_record():
    trend = np.array([[5000 + 50 * each, 5000 - 50 * each] for each in (0, 1, 2, 3, 12)])
    assert beaten(trend, 14.0 * np.array([0, 1, 2, 3, 12])) == pytest.approx(1, abs=0.1)


def test_the_expected_index_is_that_of_permuted_rows():
    rng = np.random.default_rng(2)
    together = np.array([300, 500, 200, 400])
    now = rng.multivariate_hypergeometric(together, 400, size=4000)
    assert expected(together - now[0], now[0]) == pytest.approx(psi(together - now, now).mean(), rel=0.05)

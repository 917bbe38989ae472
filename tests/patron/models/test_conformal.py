from __future__ import annotations

import numpy as np
import pytest

from patron.models.conformal import Intervals, quantiles, widest


def customers(seed, season=1.0, n=3000):
    """Predictions, and what followed: often nothing, else in the mean the prediction times the season."""
    rng = np.random.default_rng(seed)
    predicted = rng.gamma(1, 50, n)
    return predicted, season * predicted * rng.gamma(0.5, 2, n) * (rng.uniform(size=n) < 0.6)


def inside(intervals, predicted, actual):
    low, high = intervals(predicted)
    return (actual >= low) & (actual <= high)


def test_intervals_hold_in_every_bin():
    found = inside(Intervals.fit(*customers(1), 0.8), *(other := customers(2)))
    for part in np.array_split(np.argsort(other[0]), 5):
        assert found[part].mean() == pytest.approx(0.8, abs=0.06)


def test_intervals_hold_in_every_season_that_was_seen():
    """Calibrated on a quiet season and on a loud one they cover both."""
    quiet, loud = customers(1), customers(2, season=2.0)
    predicted, actual = (np.concatenate(each) for each in zip(quiet, loud, strict=True))
    both = Intervals.fit(predicted, actual, 0.8, np.repeat([20, 30], 3000))
    next_loud = customers(3, season=2.0)
    assert inside(both, *next_loud).mean() == pytest.approx(0.8, abs=0.03)
    assert inside(both, *customers(4)).mean() > 0.8
    assert inside(Intervals.fit(*quiet, 0.8), *next_loud).mean() < 0.75


def test_the_ends_keep_their_order():
    predicted, actual = customers(1)
    low, high = Intervals.fit(predicted, actual, 0.8)(np.append(predicted, [0.0, 1e9]))
    assert (low >= 0).all()
    assert (low <= np.append(predicted, [0.0, 1e9])).all()
    assert (high >= np.append(predicted, [0.0, 1e9])).all()


def test_ends_of_few_rows_are_told_by_reading():
    assert quantiles(np.arange(1.0, 10.0), 0.2) == (1.0, 9.0)
    assert quantiles(np.array([0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 0.2) == (0.0, 5.0)
    assert quantiles(np.zeros(0), 0.2) == (0.0, 1.0)
    assert widest(np.zeros(0), np.zeros(0, dtype=np.int64), 0.2) == (0.0, 1.0)


def test_a_window_of_few_rows_does_not_widen_alone():
    scores = np.append(np.linspace(0.5, 1.5, 200), [100.0, 100.0])
    window = np.append(np.zeros(200, dtype=np.int64), [1, 1])
    assert widest(scores, window, 0.2)[1] < 2


def test_what_was_written_is_read():
    found = Intervals.fit(*customers(1), 0.8)
    again = Intervals.of(found.document())
    for one, other in zip(found(np.arange(99.0)), again(np.arange(99.0)), strict=True):
        np.testing.assert_array_equal(one, other)

"""Cutoffs that fit, calibrate and test: no label of one window reaches into the next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patron.errors import DataError
from training.windows import ending_at, split, spread

END = datetime(2025, 1, 1, tzinfo=UTC)


def back(*days: int) -> list[datetime]:
    """Moments so many days before the newest cutoff, oldest first."""
    return sorted(END - timedelta(days=each) for each in days)


WEEKLY = back(*range(0, 140, 7))


def test_by_hand():
    judged, shipped = split(WEEKLY, 28)
    assert (judged.test, judged.calibrate) == (END - timedelta(days=28), END - timedelta(days=56))
    assert judged.fit == back(*range(84, 140, 7))
    assert (shipped.test, shipped.calibrate) == (END, END - timedelta(days=28))
    assert shipped.fit == back(*range(56, 140, 7))


def test_what_is_shipped_calibrates_on_the_window_that_judged():
    for horizon in (7, 20, 28, 30):
        judged, shipped = split(WEEKLY, horizon)
        assert shipped.calibrate == judged.test


def test_only_the_last_cutoffs_are_fitted_on():
    judged, _ = split(WEEKLY, 7, most=3)
    assert judged.fit == back(21, 28, 35)


@given(
    st.sets(st.integers(0, 60), min_size=4, max_size=30).map(lambda weeks: back(*(7 * w for w in weeks))),
    st.integers(1, 100),
)
def test_labels_end_before_the_next_window(cutoffs, days):
    horizon = timedelta(days=days)
    try:
        both = split(cutoffs, days)
    except DataError:
        return
    assert both[0].test + horizon <= max(cutoffs)
    for each in both:
        assert each.fit and all(cutoff + horizon <= each.calibrate for cutoff in each.fit)
        assert each.calibrate + horizon <= each.test


@pytest.mark.parametrize("cutoffs", [back(0), back(0, 28), back(0, 28, 56), back(0, 20, 40, 60, 80)])
def test_too_short_a_history_is_said(cutoffs):
    with pytest.raises(DataError, match=r"too short: cutoffs from .* 28 days each\. Import more history"):
        split(cutoffs, 28)


def test_lifetime_value_fits_up_to_its_calibration_but_not_on_it():
    test = END - timedelta(days=28)
    found = ending_at(WEEKLY, test, 28, most=3, overlap=True)
    assert found.fit == back(63, 70, 77)
    assert all(each + timedelta(days=28) <= test for each in found.fit)
    assert (found.calibrate, found.test) == (END - timedelta(days=56), test)


@given(
    st.sets(st.integers(0, 60), min_size=4, max_size=30).map(lambda weeks: back(*(7 * w for w in weeks))),
    st.integers(1, 100),
    st.booleans(),
)
def test_no_window_ever_reaches_into_the_future(cutoffs, days, overlap):
    """Whatever is judged from a cutoff on was fitted and calibrated on labels that had ended by then."""
    horizon = timedelta(days=days)
    for test in cutoffs:
        try:
            found = ending_at(cutoffs, test, days, overlap=overlap)
        except DataError:
            continue
        assert found.calibrate + horizon <= test
        assert found.fit and max(found.fit) < found.calibrate
        assert all(each + horizon <= test for each in found.fit)
        assert overlap or all(each + horizon <= found.calibrate for each in found.fit)


@given(
    st.sets(st.integers(0, 60), min_size=1, max_size=30).map(lambda weeks: back(*(7 * w for w in weeks))),
    st.integers(1, 6),
    st.integers(1, 100),
)
def test_tests_are_spread(possible, count, days):
    found = spread(possible, count, days)
    assert set(found) <= set(possible) and found == sorted(set(found))
    assert found[-1] == max(possible) and len(found) <= count
    steps = [after - before for before, after in pairwise(found)]
    assert all(step >= timedelta(days=days) / 3 for step in steps)


def test_tests_by_hand():
    possible = back(*range(70, 169, 14))  # from 70 to 168 days before the end
    assert spread(possible, 4, 70) == back(70, 112, 140, 168)
    assert spread(possible, 3, 70) == back(70, 126, 168)
    assert spread(possible, 3, 28) == back(70, 98, 126)
    assert spread(possible, 1, 70) == back(70)

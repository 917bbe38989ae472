"""The one rule: outside all that was seen, by some spreads."""

from __future__ import annotations

import pytest

from patron.quality.usual import bounds, share_noise, spread


def test_a_short_past_says_nothing():
    assert bounds([1, 2, 3, 4]) is None


def test_bounds_are_the_range_widened_by_three_spreads():
    past = [10, 11, 12, 13, 14]
    assert spread(past) == pytest.approx(1.4826)
    assert bounds(past) == pytest.approx((10 - 3 * 1.4826, 14 + 3 * 1.4826))


def test_what_was_always_the_same_may_move_by_what_counting_makes_uncertain():
    assert bounds([0.0] * 5, share_noise(0.0, 1000)) == pytest.approx((-0.003, 0.003))


def test_the_noise_of_a_share():
    assert share_noise(0.5, 100) == pytest.approx(0.05)
    assert share_noise(0.0, 0) == 1

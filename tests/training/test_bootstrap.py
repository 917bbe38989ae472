"""Intervals: where they lie, that they are of pairs, and that they are the same every time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.bootstrap import Judgement, difference, draws, intervals


def judgement(values: np.ndarray, primary: str = "mean") -> Judgement:
    return Judgement(lambda at: {primary: float(values[at].mean())}, len(values), primary)


def test_the_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(1).normal(10, 2, size=400)
    found = intervals(judgement(values), seed=3, rounds=1000)["mean"]
    half = 1.96 * values.std() / 20
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - half, abs=half / 5)
    assert found.high == pytest.approx(values.mean() + half, abs=half / 5)


def test_a_difference_is_of_pairs():
    """Noise that both models share cancels: only a paired bootstrap sees a gap this small."""
    noise = np.random.default_rng(2).normal(0, 100, size=200)
    gap = difference(judgement(noise + 0.1), judgement(noise), seed=5)
    assert gap.value == pytest.approx(0.1)
    assert gap.low == pytest.approx(0.1) and gap.high == pytest.approx(0.1)


def test_a_model_beside_itself_differs_by_nothing():
    one = judgement(np.random.default_rng(2).normal(size=50))
    found = difference(one, one, seed=5)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_the_same_seed_draws_the_same_customers():
    first, again, other = (draws(30, 5, seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    assert all(len(each) == 30 and each.min() >= 0 and each.max() < 30 for each in first)


def test_only_the_same_customers_and_metric_are_compared():
    with pytest.raises(ValueError, match="same customers"):
        difference(judgement(np.ones(3)), judgement(np.ones(4)), seed=1)
    with pytest.raises(ValueError, match="same customers"):
        difference(judgement(np.ones(3)), judgement(np.ones(3), "other"), seed=1)


def test_draws_without_a_value_are_left_out():
    values = np.array([1.0, np.nan, 1.0])
    rare = Judgement(lambda at: {"m": float(values[at].sum())}, 3, "m")
    found = intervals(rare, seed=1)["m"]
    assert (found.low, found.high) == (3, 3)


def test_nobody_to_judge_by():
    nobody = Judgement(lambda at: {"m": float("nan")}, 0, "m")
    found = intervals(nobody, seed=1)["m"]
    assert math.isnan(found.value) and math.isnan(found.low) and math.isnan(found.high)

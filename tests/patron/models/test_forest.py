"""LightGBM's own answer is the one that the bits must give, to the last digit."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from patron.models.forest import Forest, _not_above

ODD = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 1e38, -1e38], dtype=np.float32)


def booster(leaves=15, trees=30, missing=0.2, **more):
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(1_500, 6)).round(1)
    outcome = np.nan_to_num(inputs[:, 0] * inputs[:, 1] + np.sin(3 * inputs[:, 2]))
    inputs[rng.random(inputs.shape) < missing] = np.nan
    parameters = {
        "objective": "regression",
        "num_leaves": leaves,
        "min_data_in_leaf": 2,
        "verbosity": -1,
        **more,
    }
    return lightgbm.train(parameters, lightgbm.Dataset(inputs, label=outcome), num_boost_round=trees)


def asked():
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(300, 6)).round(1).astype(np.float32)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    rows[: len(ODD)] = ODD[:, None]
    return rows


@pytest.mark.parametrize("leaves", [2, 15, 17, 33, 64])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_sums_are_those_of_lightgbm(leaves, missing):
    grown, rows = booster(leaves, missing=missing), asked()
    forest = Forest.of(grown.model_to_string())
    assert forest is not None
    np.testing.assert_array_equal(forest.raw(rows.T.copy()), grown.predict(rows, raw_score=True))


def test_one_row_and_no_row():
    grown, rows = booster(), asked()
    forest = Forest.of(grown.model_to_string())
    np.testing.assert_allclose(forest.raw(rows[:1].T), grown.predict(rows[:1], raw_score=True), rtol=1e-12)
    assert forest.raw(rows[:0].T).shape == (0,)


@pytest.mark.parametrize(
    "other", [{"leaves": 65, "min_data_in_leaf": 1}, {"trees": 2_000}, {"zero_as_missing": True}]
)
def test_what_it_does_not_know_is_left_to_lightgbm(other):
    assert Forest.of(booster(**other).model_to_string()) is None


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1 / 3, 1.0, 1e300, -1e300, 1e-300])
def test_rounded_thresholds_tell_the_same_numbers_apart(threshold):
    near = np.float32(np.clip(threshold, -3e38, 3e38))
    for each in (near, np.nextafter(near, np.float32(9)), np.nextafter(near, np.float32(-9)), *ODD[1:]):
        assert (each <= np.float32(_not_above(threshold))) == (float(each) <= threshold)

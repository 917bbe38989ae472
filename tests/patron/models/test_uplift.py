"""Learners of effects, on trials whose effects are known."""

from __future__ import annotations

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.ridge import Ridge
from patron.models.uplift import SHALLOW, Uplift, UpliftConfig
from patron.models.uplift_learners import estimated_propensity

NAMES = ("flag", "score", "noise")
FEW = SHALLOW.model_copy(update={"trees": 30, "learning_rate": 0.15, "feature_fraction": 1.0})


def shop(rows: int = 5000, seed: int = 0):
    """inputs, treatment, outcome 0/1, propensity, effects (rows, 2): `coupon` works with the flag alone,
    `letter` works on nobody; who has the flag is given the coupon more often, and orders more anyway."""
    rng = np.random.default_rng(seed)
    flag, score, noise = rng.random(rows) < 0.5, rng.normal(size=rows), rng.normal(size=rows)
    chances = np.where(flag[:, None], [0.5, 0.2, 0.3], [0.2, 0.2, 0.6])
    drawn = (rng.random(rows)[:, None] > np.cumsum(chances, axis=1)).sum(axis=1)
    effects = np.column_stack([0.3 * flag, np.zeros(rows)])
    rate = (
        0.1 + 0.2 * flag + 0.1 * (score > 0) + np.column_stack([effects, np.zeros(rows)])[range(rows), drawn]
    )
    inputs = np.column_stack([flag, np.where(rng.random(rows) < 0.05, np.nan, score), noise])
    outcome = (rng.random(rows) < rate).astype(float)
    return (
        inputs,
        np.array(["coupon", "letter", "none"])[drawn],
        outcome,
        chances[range(rows), drawn],
        effects,
    )


@pytest.fixture(scope="module")
def trial():
    return shop()


def config(learner: str, base: str = "logistic") -> UpliftConfig:
    return UpliftConfig(learner=learner, base=base, trees=FEW)


@pytest.mark.parametrize("base", ["logistic", "trees"])
@pytest.mark.parametrize("learner", ["t", "x", "dr"])
def test_a_learner_finds_whom_an_offer_works_on(learner, base, trial, tmp_path) -> None:
    inputs, treatment, outcome, propensity, effects = trial
    model = Uplift(config(learner, base)).fit(NAMES, inputs, treatment, outcome, propensity)
    found = model.effects(inputs)
    assert model.arms == ("coupon", "letter")
    assert found.shape == (len(inputs), 2)
    assert np.sqrt(np.mean((found - effects) ** 2)) < 0.1
    assert model.without(inputs)[inputs[:, 0] == 0].mean() == pytest.approx(0.15, abs=0.04)
    model.save(tmp_path)
    again = Uplift.load(tmp_path)
    assert np.array_equal(again.effects(inputs[:50]), model.effects(inputs[:50]))
    assert np.array_equal(again.without(inputs[:50]), model.without(inputs[:50]))


def test_the_average_allows_for_who_was_drawn_more_often(trial) -> None:
    inputs, treatment, outcome, propensity, _ = trial
    model = Uplift(config("average")).fit(NAMES, inputs, treatment, outcome, propensity)
    assert np.ptp(model.effects(inputs), axis=0).tolist() == [0.0, 0.0]
    assert model.effects(inputs)[0] == pytest.approx([0.15, 0.0], abs=0.03)
    plain = outcome[treatment == "coupon"].mean() - outcome[treatment == "none"].mean()
    assert plain > 0.2


def test_the_flag_that_parts_the_effects_is_found(trial, tmp_path) -> None:
    inputs, treatment, outcome, propensity, effects = trial
    model = Uplift(config("flag")).fit(NAMES, inputs, treatment, outcome, propensity)
    assert model.parts["coupon"].responses[0].name == "flag"
    assert model.effects(inputs)[:, 0] == pytest.approx(effects[:, 0], abs=0.05)
    model.save(tmp_path)
    assert np.array_equal(Uplift.load(tmp_path).effects(inputs), model.effects(inputs))


def test_propensities_are_estimated_where_nobody_logged_them(trial) -> None:
    inputs, treatment, outcome, propensity, _ = trial
    regression = UpliftConfig().regression(NAMES, 0, 1)
    found = estimated_propensity(inputs, treatment, regression)
    assert found == pytest.approx(propensity, abs=0.1)
    model = Uplift(config("average")).fit(NAMES, inputs, treatment, outcome)
    assert model.effects(inputs)[0] == pytest.approx([0.15, 0.0], abs=0.03)


def test_amounts_may_be_negative_and_are_found_by_the_line_that_made_them() -> None:
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(800, 3))
    treated = rng.random(800) < 0.5
    effect = 2 * inputs[:, 1] - 1
    spend = 5 + inputs[:, 0] + effect * treated + rng.normal(size=800) / 10
    model = Uplift(config("x")).fit(
        NAMES, inputs, np.where(treated, "mail", "none"), spend, np.full(800, 0.5), "amount"
    )
    assert model.effects(inputs)[:, 0] == pytest.approx(effect, abs=0.3)
    assert model.without(inputs) == pytest.approx(5 + inputs[:, 0], abs=0.15)


def test_ridge_is_least_squares_where_nothing_is_penalised() -> None:
    inputs = np.array([[0.0], [1.0], [2.0], [np.nan]])
    line = Ridge.fit(("noise",), inputs, np.array([1.0, 3.0, 5.0, 7.0]), 1e-9)
    assert line.raw(np.array([[3.0], [np.nan]])) == pytest.approx([7.0, 7.0], abs=1e-5)
    assert Ridge.of(line.document()).raw(inputs) == pytest.approx(line.raw(inputs))


def test_the_same_seed_gives_the_same_model(trial) -> None:
    inputs, treatment, outcome, propensity = (each[:600] for each in trial[:4])
    one, other = (
        Uplift(config("dr", "trees")).fit(NAMES, inputs, treatment, outcome, propensity, seed=4)
        for _ in range(2)
    )
    assert one.document() == other.document()


def test_too_few_outcomes_teach_a_mean_alone() -> None:
    treatment = np.array(["mail", "none"] * 20)
    model = Uplift(config("t")).fit(NAMES, np.zeros((40, 3)), treatment, np.zeros(40), np.full(40, 0.5))
    assert model.effects(np.zeros((2, 3))).tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("treatment", [["mail", "mail"], ["none", "none"]])
def test_a_log_without_two_arms_is_refused(treatment) -> None:
    with pytest.raises(DataError, match="left alone"):
        Uplift().fit(NAMES, np.zeros((2, 3)), treatment, np.zeros(2), np.ones(2))


def test_a_propensity_of_zero_is_refused() -> None:
    with pytest.raises(DataError, match="propensity"):
        Uplift().fit(NAMES, np.zeros((2, 3)), ["mail", "none"], np.zeros(2), np.array([0.5, 0.0]))

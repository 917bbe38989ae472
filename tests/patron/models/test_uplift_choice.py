"""What is taken to tell customers apart, and that nothing is where there is nothing to tell."""

from __future__ import annotations

import numpy as np
import pytest

from patron.models.uplift import Uplift
from patron.models.uplift_choice import CANDIDATES, TREAT_ALL, TREAT_NONE, ChoiceConfig, choose

NAMES = ("flag", "score", "noise")
QUICK = ("flag", "t_logistic")


def trial(effect, rows: int = 4000, seed: int = 0):
    """inputs, treatment and outcome of a trial of one e-mail; effect: of (flag, score) on buying."""
    rng = np.random.default_rng(seed)
    inputs = np.column_stack([rng.random(rows) < 0.5, rng.normal(size=rows), rng.normal(size=rows)])
    treated = rng.random(rows) < 0.5
    rate = 0.3 + 0.05 * inputs[:, 0] + effect(inputs[:, 0], inputs[:, 1]) * treated
    return inputs, np.where(treated, "mail", "none"), (rng.random(rows) < rate).astype(float)


def chosen(effect, candidates=QUICK, **more):
    inputs, treatment, outcome = trial(effect, **more)
    return choose(NAMES, inputs, treatment, outcome, np.full(len(outcome), 0.5), candidates=candidates)


def test_one_flag_is_taken_where_one_flag_says_it_all(tmp_path) -> None:
    found = chosen(lambda flag, score: 0.2 * flag, seed=1)
    assert found.name == "flag"
    assert "orders customers better than chance" in found.reason
    assert found.model.effects(np.array([[0.0, 0, 0], [1.0, 0, 0]]))[:, 0] == pytest.approx(
        [0, 0.2], abs=0.06
    )
    found.model.save(tmp_path)
    assert Uplift.load(tmp_path).document() == found.model.document()


def test_a_learner_is_taken_where_it_sees_more_than_a_flag() -> None:
    found = chosen(lambda flag, score: 0.2 * np.clip(score, -1, 1), rows=8000)
    assert found.name == "t_logistic"
    assert found.arms["mail"].table[1].slope == pytest.approx(1.0, abs=0.4)


def test_everybody_is_treated_where_it_helps_all_alike() -> None:
    found = chosen(lambda flag, score: np.full(len(flag), 0.1))
    assert found.name == TREAT_ALL
    assert "no model orders customers better than chance" in found.reason
    assert found.reason.endswith("treat all.")
    choice = found.arms["mail"]
    assert choice.low < 0.1 < choice.high
    assert np.ptp(found.model.effects(np.eye(3))) == 0
    assert found.model.effects(np.eye(3))[0, 0] == pytest.approx(choice.effect)


def test_nobody_is_treated_where_it_helps_nobody() -> None:
    found = [chosen(lambda flag, score: np.zeros(len(flag)), seed=seed, rows=1000) for seed in range(12)]
    assert sum(each.name == TREAT_NONE for each in found) >= 11
    assert found[0].model.effects(np.eye(3)).tolist() == [[0.0]] * 3


def test_each_arm_is_chosen_for_itself() -> None:
    inputs, treatment, outcome = trial(lambda flag, score: 0.3 * flag, rows=6000)
    rng = np.random.default_rng(5)
    moved = (treatment == "none") & (rng.random(len(outcome)) < 0.5)
    treatment = np.where(moved, "letter", treatment)
    propensity = np.where(treatment == "mail", 0.5, 0.25)
    found = choose(NAMES, inputs, treatment, outcome, propensity, candidates=("flag",))
    assert found.name == "letter: treat_none, mail: flag"
    assert found.model.arms == ("letter", "mail")
    assert set(found.model.effects(inputs)[:, 0].tolist()) == {0.0}


def test_without_candidates_or_rows_only_the_average_is_looked_at() -> None:
    assert "customers are treated alike" in chosen(lambda flag, score: 0.2 * flag, candidates=()).reason
    few = chosen(lambda flag, score: 0.2 * flag, rows=60)
    assert "too few rows" in few.reason
    assert few.table == ()


def test_every_candidate_can_be_judged() -> None:
    inputs, treatment, outcome = trial(lambda flag, score: 0.3 * flag, rows=300)
    found = choose(
        NAMES, inputs, treatment, outcome, np.full(300, 0.5), config=ChoiceConfig(folds=2, fewest=50)
    )
    assert [each.name for each in found.table] == list(CANDIDATES)


def test_differences_that_leave_nobody_better_alone_do_not_matter() -> None:
    found = chosen(lambda flag, score: 0.4 + 0.1 * flag, rows=12_000, candidates=("flag",))
    assert found.table[0].beats_random
    assert found.name == TREAT_ALL
    assert "effects differ too little" in found.reason

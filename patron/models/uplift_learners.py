"""What an offer adds for each customer: T-, X- and DR-learners, the best single flag, and the average.

T: a response model of each arm, and their difference. X: effects imputed by the response model of the other
arm, regressed in each arm, and averaged. Source of both: Kuenzel, Sekhon, Bickel & Yu 2019. DR: regression of
the doubly robust score, with response models that have not seen the row. Source: Kennedy 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import Numbers
from patron.models.responses import Mixture, Regression, Response, Step
from patron.models.uplift_ranking import Estimate, average

NONE = "none"
"""The arm that is left alone."""
LEAST_PROPENSITY = 0.01
"""Smaller ones are raised to it: one row counts as a hundred at most."""
INNER_FOLDS = 2


@dataclass(frozen=True)
class Trial:
    """What was logged: inputs (n, d), treatment (n,), outcome (n,), weight (n,) = 1 / propensity."""

    inputs: Numbers
    treatment: NDArray[np.str_]
    outcome: Numbers
    weight: Numbers
    binary: bool
    memory: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    """What was fitted so far: learners share the response models of the arms."""

    def of(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Trial:
        """The same of some rows."""
        return replace(
            self,
            inputs=self.inputs[rows],
            treatment=self.treatment[rows],
            outcome=self.outcome[rows],
            weight=self.weight[rows],
            memory={},
        )

    def arm(self, arm: str) -> Trial:
        return self.of(self.treatment == arm)

    def effect(self, arm: str, rows: NDArray[np.bool_] | None = None) -> Estimate:
        """Average effect of an arm, among these rows."""
        use = (self.treatment == arm) | (self.treatment == NONE)
        if rows is not None:
            use &= rows
        return average(self.treatment[use] == arm, self.outcome[use], self.weight[use])

    def response(self, arm: str, regression: Regression) -> Response:
        """What is expected of those who got an arm; fitted once."""
        if (arm, regression) not in self.memory:
            own = self.arm(arm)
            self.memory[arm, regression] = regression.fit(own.inputs, own.outcome, binary=self.binary)
        return self.memory[arm, regression]

    def parts(self, seed: int) -> list[tuple[Trial, NDArray[np.bool_]]]:
        """(all but a fold, the rows of the fold) of INNER_FOLDS; made once."""
        if seed not in self.memory:
            fold = folds(self.treatment, INNER_FOLDS, seed)
            self.memory[seed] = [(self.of(fold != each), fold == each) for each in range(INNER_FOLDS)]
        return self.memory[seed]

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Every treatment but NONE, in order of name."""
        return tuple(sorted(str(each) for each in np.unique(self.treatment) if each != NONE))


def control_of(trial: Trial, regression: Regression) -> Response:
    """What is expected of those who are left alone."""
    return trial.response(NONE, regression)


def treat_alike(trial: Trial, arm: str, regression: Regression) -> Mixture:
    """The average effect for everybody."""
    return Mixture(trial.effect(arm).value, (), ())


def best_flag(trial: Trial, arm: str, regression: Regression) -> Mixture:
    """Two effects: of those who have one flag, and of those who do not; the flag that parts them best.

    A flag is an input above its threshold: the smaller of two values, or the median of many. Best is the
    largest difference of the two effects over its standard error.
    """
    found = [_flag(trial, arm, place, regression) for place in range(trial.inputs.shape[1])]
    _, step = max((each for each in found if each), key=lambda each: each[0], default=(0.0, None))
    return Mixture(0.0, (1.0,), (step,)) if step else treat_alike(trial, arm, regression)


def _flag(trial: Trial, arm: str, place: int, regression: Regression) -> tuple[float, Step] | None:
    values = trial.inputs[:, place]
    threshold = _threshold(values)
    if threshold is None:
        return None
    sides = ~(values > threshold), values > threshold
    if any((side & (trial.treatment == name)).sum() < 2 for side in sides for name in (arm, NONE)):
        return None
    below, above = (trial.effect(arm, side) for side in sides)
    error = float(np.hypot(below.error, above.error))
    apart = abs(above.value - below.value) / error if error > 0 else 0.0
    return apart, Step(regression.names[place], place, threshold, below.value, above.value)


def _threshold(values: Numbers) -> float | None:
    known = np.unique(values[~np.isnan(values)])
    if len(known) < 2:
        return None
    middle = float(np.nanmedian(values)) if len(known) > 2 else float(known[0])
    return middle if middle < known[-1] else float(known[-2])


def t_learner(trial: Trial, arm: str, regression: Regression) -> Mixture:
    return Mixture(0.0, (1.0, -1.0), (trial.response(arm, regression), control_of(trial, regression)))


def x_learner(trial: Trial, arm: str, regression: Regression) -> Mixture:
    """The effect imputed in the control counts by the share treated, and the other way round."""
    treated, alone = trial.arm(arm), trial.arm(NONE)
    with_it, without = (trial.response(each, regression) for each in (arm, NONE))
    of_treated = regression.fit(
        treated.inputs, treated.outcome - without.predict(treated.inputs), binary=False
    )
    of_alone = regression.fit(alone.inputs, with_it.predict(alone.inputs) - alone.outcome, binary=False)
    share = len(treated.outcome) / (len(treated.outcome) + len(alone.outcome))
    return Mixture(0.0, (1 - share, share), (of_treated, of_alone))


def dr_learner(trial: Trial, arm: str, regression: Regression) -> Mixture:
    score = doubly_robust(trial, arm, regression)
    return Mixture(0.0, (1.0,), (regression.fit(trial.inputs, score, binary=False),))


def doubly_robust(trial: Trial, arm: str, regression: Regression) -> Numbers:
    """Of each row, a number whose mean at given inputs is the effect; shape (n,).

    Of all rows, those of other arms too, whose outcomes say nothing here.
    """
    found = np.empty(len(trial.outcome))
    for seen, rows in trial.parts(regression.seed):
        own = trial.of(rows)
        with_it, without = (seen.response(each, regression).predict(own.inputs) for each in (arm, NONE))
        found[rows] = (
            with_it
            - without
            + (own.treatment == arm) * own.weight * (own.outcome - with_it)
            - (own.treatment == NONE) * own.weight * (own.outcome - without)
        )
    return found


def folds(treatment: NDArray[np.str_], count: int, seed: int) -> NDArray[np.int64]:
    """A fold 0..count-1 of each row, every arm spread evenly."""
    rng = np.random.default_rng(seed)
    found = np.empty(len(treatment), dtype=np.int64)
    for arm in np.unique(treatment):
        rows = np.flatnonzero(treatment == arm)
        found[rows] = rng.permutation(np.arange(len(rows)) % count)
    return found


def weights(propensity: Numbers) -> Numbers:
    """1 / propensity, bounded."""
    return 1 / np.maximum(propensity, LEAST_PROPENSITY)


def estimated_propensity(
    inputs: Numbers, treatment: NDArray[np.str_], regression: Regression, count: int = 5
) -> Numbers:
    """P(the treatment received | inputs), shape (n,), by logistic regressions that have not seen the row.

    One arm against the rest each, scaled to sum to 1.
    """
    line = replace(regression, base="logistic")
    arms = np.unique(treatment)
    fold = folds(treatment, count, regression.seed)
    found = np.empty((len(treatment), len(arms)))
    for number in range(count):
        for place, arm in enumerate(arms):
            seen, own = fold != number, fold == number
            chance = line.fit(inputs[seen], (treatment[seen] == arm).astype(np.float64), binary=True)
            found[own, place] = chance.predict(inputs[own])
    received = found[np.arange(len(treatment)), np.searchsorted(arms, treatment)]
    return received / np.maximum(found.sum(axis=1), 1e-12)


Learner = Callable[[Trial, str, Regression], Mixture]
LEARNERS: dict[str, Learner] = {
    "average": treat_alike,
    "flag": best_flag,
    "t": t_learner,
    "x": x_learner,
    "dr": dr_learner,
}

"""Which way to learn effects is good enough to be trusted, by rows that it has not seen.

A way of telling customers apart is taken for an offer only where it orders them better than chance; of those
that do, the simplest whose effects are within one standard error of the most accurate. Where none does,
everybody is treated alike, and the average effect says whether: it is a result, not a failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from patron.models.activity import Numbers
from patron.models.base import Config
from patron.models.responses import Mixture, Regression
from patron.models.uplift import Kind, Uplift, UpliftConfig, logged
from patron.models.uplift_judging import (
    ArmChoice,
    Candidate,
    Crossed,
    most_accurate,
    simplest,
    spread,
    strict,
    told,
    unsorted,
)
from patron.models.uplift_learners import LEARNERS, NONE, Trial, control_of, folds
from patron.models.uplift_ranking import Estimate, area, saved, slope

Rows = NDArray[np.bool_]

TREAT_ALL, TREAT_NONE = "treat_all", "treat_none"
CANDIDATES: dict[str, UpliftConfig] = {
    "flag": UpliftConfig(learner="flag"),
    "t_logistic": UpliftConfig(learner="t"),
    "x_logistic": UpliftConfig(learner="x"),
    "dr_logistic": UpliftConfig(learner="dr"),
    "t_trees": UpliftConfig(learner="t", base="trees"),
    "x_trees": UpliftConfig(learner="x", base="trees"),
    "dr_trees": UpliftConfig(learner="dr", base="trees"),
}
"""Simplest first."""


class ChoiceConfig(Config):
    """How candidates are judged."""

    folds: int = 5
    level: float = 0.95
    """Of intervals. Everybody is treated only where the average effect is positive at it, over all arms."""
    certainty: float = 0.99
    """Of a log without differences, the chance that no candidate is taken; over all candidates."""
    least_spread: float = 1 / 3
    """Standard deviation of effects, beside the average effect, below which differences do not matter: with a
    third, one customer in a thousand would be better left alone, were effects normal."""
    fewest: int = 100
    """Rows of an arm, below which only its average effect is looked at."""


@dataclass(frozen=True)
class Choice:
    """The effects to use, fitted on the whole log, and what was chosen for each arm."""

    model: Uplift
    arms: dict[str, ArmChoice] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The chosen name of the only arm; of several `arm: name` each."""
        if len(self.arms) == 1:
            return next(iter(self.arms.values())).name
        return ", ".join(f"{arm}: {each.name}" for arm, each in self.arms.items())

    @property
    def reason(self) -> str:
        return " ".join(each.reason for each in self.arms.values())

    @property
    def table(self) -> tuple[Candidate, ...]:
        """Of every arm, one after the other."""
        return tuple(candidate for each in self.arms.values() for candidate in each.table)


def choose(
    names: tuple[str, ...],
    inputs: Numbers,
    treatment: ArrayLike,
    outcome: ArrayLike,
    propensity: Numbers | None = None,
    kind: Kind = "binary",
    *,
    seed: int = 0,
    threads: int = 1,
    candidates: Sequence[str] = tuple(CANDIDATES),
    config: ChoiceConfig | None = None,
    possible: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Choice:
    """Judge every candidate by cross-fitting, for each arm against `none`, and fit what is chosen.

    Arrays as `Uplift.fit` takes them. candidates: names of CANDIDATES. possible: arm -> where it could have
    been given, shape (n,): who could not have got it is not compared with who did; everywhere by default.
    Chosen effects are scaled by what was found again of their differences (0..1), about the average effect.
    Raises DataError as `Uplift.fit`.
    """
    regression = UpliftConfig().regression(names, seed, threads)
    trial = logged(inputs, treatment, outcome, propensity, kind, regression)
    judge = _Judge(names, trial, tuple(candidates), config or ChoiceConfig(), seed, threads)
    chosen = {arm: judge.within((possible or {}).get(arm)).choose(arm) for arm in trial.arms}
    parts = {arm: part for arm, (_, part) in chosen.items()}
    model = Uplift().made(names, parts, control_of(trial, regression))
    return Choice(model, {arm: choice for arm, (choice, _) in chosen.items()})


@dataclass(frozen=True)
class _Judge:
    names: tuple[str, ...]
    trial: Trial
    candidates: tuple[str, ...]
    config: ChoiceConfig
    seed: int
    threads: int
    foldings: dict[int, list[tuple[Trial, Rows]]] = field(default_factory=dict)

    def within(self, rows: NDArray[np.bool_] | None) -> _Judge:
        """The same of some rows; of all without a choice."""
        if rows is None or rows.all():
            return self
        return replace(self, trial=self.trial.of(rows), foldings={})

    def regression(self, name: str) -> Regression:
        return CANDIDATES[name].regression(self.names, self.seed, self.threads)

    def learn(self, name: str, trial: Trial, arm: str) -> Mixture:
        return LEARNERS[CANDIDATES[name].learner](trial, arm, self.regression(name))

    @property
    def z(self) -> float:
        """Of an interval of one number."""
        return float(norm.ppf((1 + self.config.level) / 2))

    def choose(self, arm: str) -> tuple[ArmChoice, Mixture]:
        whole = self.trial.effect(arm)
        found = self.judged(arm) if self.enough(arm) else {}
        better = [name for name in found if self.beats(found[name].area)]
        small = [name for name in better if spread(found[name].area) < self.least(whole)]
        better = [name for name in better if name not in small]
        while better and not self.confirmed(simplest(found, better), arm, found):
            better.remove(simplest(found, better))
        table = tuple(self.row(name, each, name in better + small) for name, each in found.items())
        if not better:
            return self.alike(arm, whole, table, small)
        name = simplest(found, better)
        part, kept = self.learn(name, self.trial, arm), found[name].kept
        mean = float(part.predict(self.trial.inputs).mean())
        reason = self.because(arm, name, found, better, whole)
        choice = ArmChoice(arm, name, reason, whole.value, *whole.bounds(self.z), table)
        return choice, part.scaled(kept, whole.value - kept * mean)

    def least(self, whole: Estimate) -> float:
        """Spread of effects from which on differences matter."""
        return self.config.least_spread * abs(whole.value)

    def enough(self, arm: str) -> bool:
        return min((self.trial.treatment == each).sum() for each in (arm, NONE)) >= self.config.fewest

    def beats(self, found: Estimate) -> bool:
        low, _ = found.bounds(strict(self.config.certainty, len(self.candidates)))
        return low > 0

    def confirmed(self, name: str, arm: str, found: dict[str, Crossed]) -> bool:
        """Whether it beats chance also on the mean with a second folding: one may be a lucky one."""
        one, other = found[name].area, self.crossed(name, arm, self.seed + 1).area
        parts = (one.parts + other.parts) / 2
        error = float(np.sqrt((parts**2).sum()))
        return self.beats(Estimate((one.value + other.value) / 2, error, parts))

    def row(self, name: str, found: Crossed, beats: bool) -> Candidate:
        low, high = found.area.bounds(self.z)
        return Candidate(name, found.area.value, low, high, found.slope, found.saved.value, beats)

    def judged(self, arm: str) -> dict[str, Crossed]:
        """Each candidate by rows that it has not seen."""
        return {name: self.crossed(name, arm, self.seed) for name in self.candidates}

    def parts(self, seed: int) -> list[tuple[Trial, Rows]]:
        """(all but a fold, the rows of the fold); made once for each seed."""
        if seed not in self.foldings:
            fold = folds(self.trial.treatment, self.config.folds, seed)
            numbers = range(self.config.folds)
            self.foldings[seed] = [(self.trial.of(fold != each), fold == each) for each in numbers]
        return self.foldings[seed]

    def crossed(self, name: str, arm: str, seed: int) -> Crossed:
        effect = np.empty(len(self.trial.outcome))
        rows = (self.trial.treatment == arm) | (self.trial.treatment == NONE)
        value, parts = 0.0, np.zeros(len(effect))
        for seen, own in self.parts(seed):
            part = self.learn(name, seen, arm)
            effect[own] = part.predict(self.trial.inputs[own])
            effect[own] -= effect[own].mean()
            use = own & rows
            share = use.sum() / rows.sum()
            found = area(effect[use], *self.compared(use, arm))
            value, parts[use] = value + share * found.value, share * found.parts
        error, given = float(np.sqrt((parts**2).sum())), self.compared(rows, arm)
        again = slope(effect[rows], *given)
        scaled = effect[rows] * np.clip(again, 0.0, 1.0)
        return Crossed(Estimate(value, error, parts), again, saved(scaled, *given))

    def compared(self, rows: Rows, arm: str) -> tuple[Rows, Numbers, Numbers]:
        return self.trial.treatment[rows] == arm, self.trial.outcome[rows], self.trial.weight[rows]

    def alike(
        self, arm: str, whole: Estimate, table: tuple[Candidate, ...], small: Sequence[str]
    ) -> tuple[ArmChoice, Mixture]:
        """Everybody or nobody, by the average effect."""
        low, _ = whole.bounds(strict(self.config.level, len(self.trial.arms)))
        name = TREAT_ALL if low > 0 else TREAT_NONE
        why = unsorted(table, small) if self.candidates else "customers are treated alike."
        reason = f"{arm}: {why} {self.on_average(whole)}: {name.replace('_', ' ')}."
        choice = ArmChoice(arm, name, reason, whole.value, *whole.bounds(self.z), table)
        return choice, Mixture(whole.value if name == TREAT_ALL else 0.0, (), ())

    def because(
        self, arm: str, name: str, found: dict[str, Crossed], better: Sequence[str], whole: Estimate
    ) -> str:
        best = most_accurate(found, better)
        low, high = found[name].area.bounds(self.z)
        why = "its effects are the most accurate"
        if name != best:
            why = f"it is the simplest within one standard error of the most accurate, {told(best)}"
        return (
            f"{arm}: {told(name)} orders customers better than chance by {found[name].area.value:.4f} "
            f"[{low:.4f}, {high:.4f}] a customer; {why}. {self.on_average(whole)}."
        )

    def on_average(self, whole: Estimate) -> str:
        low, high = whole.bounds(self.z)
        return f"On average it adds {whole.value:+.4f} [{low:+.4f}, {high:+.4f}] a customer"

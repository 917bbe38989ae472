"""How ways to tell customers apart are compared, and told in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from patron.models.uplift_ranking import Estimate

WORDS = {
    "flag": "one flag",
    "t": "the T-learner",
    "x": "the X-learner",
    "dr": "the DR-learner",
    "logistic": "a regression",
    "trees": "trees",
}


@dataclass(frozen=True)
class Candidate:
    """One way to tell customers apart, judged by rows that it was not fitted on.

    area: between its Qini curve and a random order, in outcome a customer, with its interval. slope: how much
    of the differences that it predicts is found again. saved: squared error of effects less than that of one
    effect for all, once scaled by the slope.
    """

    name: str
    area: float
    low: float
    high: float
    slope: float
    saved: float
    beats_random: bool


@dataclass(frozen=True)
class ArmChoice:
    """What was chosen for one arm, why, and what else was tried. `effect`: the average one, with interval."""

    arm: str
    name: str
    reason: str
    effect: float
    low: float
    high: float
    table: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Crossed:
    """Of predictions for rows that were not seen: area of the Qini curve, slope, squared error saved."""

    area: Estimate
    slope: float
    saved: Estimate

    @property
    def kept(self) -> float:
        """What its differences are multiplied by."""
        return float(np.clip(self.slope, 0.0, 1.0))


def strict(level: float, looks: int) -> float:
    """How many standard errors an interval takes that holds over so many looks, by Bonferroni's bound."""
    return float(norm.ppf(1 - (1 - level) / 2 / max(looks, 1)))


def spread(found: Estimate) -> float:
    """Standard deviation of effects that gives such an area, were effects normal: 2 * sqrt(pi) * area."""
    return float(2 * np.sqrt(np.pi) * found.value)


def simplest(found: dict[str, Crossed], better: Sequence[str]) -> str:
    """The first of `better` whose gap to the most accurate is within one standard error of that gap."""
    best = most_accurate(found, better)
    top = found[best].saved
    for name in better:
        own = found[name].saved
        if top.value - own.value <= float(np.sqrt(((top.parts - own.parts) ** 2).sum())):
            return name
    return best


def most_accurate(found: dict[str, Crossed], better: Sequence[str]) -> str:
    return max(better, key=lambda name: found[name].saved.value)


def told(name: str) -> str:
    """A candidate in words."""
    learner, _, base = name.partition("_")
    return f"{WORDS[learner]} on {WORDS[base]}" if base else WORDS[learner]


def unsorted(table: tuple[Candidate, ...], small: Sequence[str]) -> str:
    """Why customers are not told apart. small: who finds differences, but none that matter."""
    if not table:
        return "too few rows to tell customers apart."
    best = max(table, key=lambda each: each.area)
    found = f"{told(best.name)}, {best.area:+.4f} [{best.low:+.4f}, {best.high:+.4f}] a customer"
    if small:
        return f"effects differ too little to leave anybody alone (best order: {found})."
    return f"no model orders customers better than chance (best: {found}, one of {len(table)} tried)."

"""Rules that name a segment from the scores R, F, M and the number of purchase days; the first that holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from patron.models.base import Config

SEGMENTS = (
    *("champions", "loyal", "potential", "promising", "new"),
    *("at_risk", "cannot_lose", "hibernating", "lost"),
)
SCORES = range(1, 6)
Range = tuple[int, int]
EVERY: Range = (1, 5)
Numbers = NDArray[np.float64]


class Rule(Config):
    """Scores are 1..5, 5 the most recent, most frequent, most spent; both ends of a range are meant."""

    segment: str
    """One of SEGMENTS; several rules may lead to the same."""
    R: Range = EVERY
    F: Range = EVERY
    M: Range = EVERY
    FM: Range = EVERY
    """The mean of F and M, rounded half up."""
    least_purchase_days: int = Field(default=1, ge=1)
    most_purchase_days: int | None = Field(default=None, ge=1)
    """None: any number."""

    def holds(self, scores: dict[str, Numbers], days: Numbers) -> NDArray[np.bool_]:
        """Of whom it is true. scores: R, F, M and FM, shape (customers,) each."""
        found = days >= self.least_purchase_days
        if self.most_purchase_days is not None:
            found &= days <= self.most_purchase_days
        for name, values in scores.items():
            low, high = getattr(self, name)
            if (low, high) != EVERY:
                found &= (values >= low) & (values <= high)
        return found

    def mistakes(self) -> list[str]:
        """What is wrong with this rule alone."""
        found = []
        if self.segment not in SEGMENTS:
            found.append(f"no segment '{self.segment}'. There are: {', '.join(SEGMENTS)}")
        for name in ("R", "F", "M", "FM"):
            low, high = getattr(self, name)
            if not 1 <= low <= high <= 5:
                found.append(f"{name} = [{low}, {high}] is no range of 1 to 5, the lower end first")
        most = self.most_purchase_days
        if most is not None and most < self.least_purchase_days:
            found.append(f"purchase days of at least {self.least_purchase_days} and at most {most}")
        return found


SHIPPED = (
    Rule(segment="champions", R=(5, 5), FM=(4, 5), least_purchase_days=2),
    Rule(segment="loyal", R=(3, 5), FM=(4, 5), least_purchase_days=2),
    Rule(segment="cannot_lose", R=(1, 2), FM=(5, 5)),
    Rule(segment="at_risk", R=(1, 2), FM=(3, 4)),
    Rule(segment="new", R=(4, 5), most_purchase_days=1),
    Rule(segment="potential", R=(4, 5), FM=(2, 5)),
    Rule(segment="promising", R=(4, 5)),
    Rule(segment="promising", R=(3, 3), most_purchase_days=1),
    Rule(segment="hibernating", R=(2, 3)),
    Rule(segment="lost"),
)
"""The rules of `configs/segments.toml` as it is shipped."""


def combined(F: Numbers, M: Numbers) -> Numbers:
    """The mean of two scores, rounded half up."""
    return np.floor((F + M) / 2 + 0.5)


def mistakes(rules: Sequence[Rule]) -> list[str]:
    """Everything that is wrong with rules, a line each: of single ones, and of their order.

    A rule that earlier ones leave nothing to can never name anybody; and somebody whom no rule describes
    would have no name.
    """
    found = [
        f"rule {place} ({rule.segment}): {what}"
        for place, rule in enumerate(rules, 1)
        for what in rule.mistakes()
    ]
    return found or [*hidden(rules), *uncovered(rules)]


def cells(rules: Sequence[Rule]) -> tuple[dict[str, Numbers], Numbers]:
    """Every kind of customer that the rules can tell apart: (scores, purchase days), one entry a kind.

    Who bought on one day only has F 1: the quintiles of purchase days are 1 at least.
    """
    steps = {1, 2}
    for rule in rules:
        steps |= {rule.least_purchase_days, (rule.most_purchase_days or 0) + 1}
    every = [each for each in product(SCORES, SCORES, SCORES, sorted(steps)) if each[3] > 1 or each[1] == 1]
    R, F, M, days = np.array(every, dtype=np.float64).T
    return {"R": R, "F": F, "M": M, "FM": combined(F, M)}, days


def hidden(rules: Sequence[Rule]) -> list[str]:
    """Rules that can never be the first to hold, with those that come before."""
    scores, days = cells(rules)
    first = np.full(len(days), 0)
    told = []
    for place, rule in enumerate(rules, 1):
        mine = rule.holds(scores, days)
        if not (mine & (first == 0)).any():
            before = sorted(set(first[mine].tolist()))
            named = ", ".join(f"{each} ({rules[each - 1].segment})" for each in before)
            told.append(
                f"rule {place} ({rule.segment}) can never hold: "
                + (f"rule {named} takes everybody whom it describes" if named else "it describes nobody")
            )
        first[mine & (first == 0)] = place
    return told


def uncovered(rules: Sequence[Rule]) -> list[str]:
    """What no rule describes, with an example."""
    scores, days = cells(rules)
    left = ~np.any([rule.holds(scores, days) for rule in rules] or [np.zeros(len(days), dtype=bool)], axis=0)
    if not left.any():
        return []
    at = int(np.flatnonzero(left)[0])
    example = ", ".join(f"{name} {scores[name][at]:.0f}" for name in ("R", "F", "M"))
    return [
        f"no rule names customers such as {example} with {days[at]:.0f} purchase days or more "
        f"({left.sum()} kinds in all). End with a rule that only names a segment: it takes the rest"
    ]


class Named:
    """The rules as a table: a segment for every combination of scores and of the steps in purchase days."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        steps = {1, *(rule.least_purchase_days for rule in rules)}
        self.steps = np.array(sorted(steps | {(rule.most_purchase_days or 0) + 1 for rule in rules}))
        R, F, M, days = np.array([*product(SCORES, SCORES, SCORES, self.steps)], dtype=np.float64).T
        scores = {"R": R, "F": F, "M": M, "FM": combined(F, M)}
        found = np.select(
            [rule.holds(scores, days) for rule in rules], [rule.segment for rule in rules], "lost"
        )
        self.table = found.reshape(5, 5, 5, len(self.steps))

    def of(self, R: Numbers, F: Numbers, M: Numbers, days: Numbers) -> NDArray[np.str_]:
        """The segment of each customer by the first rule that holds, shape (customers,)."""
        step = np.maximum(self.steps.searchsorted(days, side="right") - 1, 0)
        return self.table[(*(each.astype(np.int64) - 1 for each in (R, F, M)), step)]

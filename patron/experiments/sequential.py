"""Intervals that may be looked at every day: they hold at all looks together, not at one chosen beforehand.

An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, "Time-uniform central
limit theory and asymptotic confidence sequences", theorem 2.2): Robbins' normal mixture with the variance
estimated. Like a central limit theorem it holds for large numbers; below a hundred units it promises nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt


@dataclass(frozen=True)
class Interval:
    """`p_value`: the least level at which the sequence excludes 0 now; valid at any look."""

    estimate: float
    low: float
    high: float
    p_value: float


def spread_of(planned: int, alpha: float) -> float:
    """The mixture's variance, rho squared, with which the sequence is tightest at `planned` units.

    With x = planned * rho squared the width there is least where x = log(1 + x) - 2 log(alpha);
    iterating that contracts.
    """
    found = told = -2 * log(alpha)
    for _ in range(20):
        found = log(1 + found) + told
    return found / planned


def interval(estimate: float, standard_error: float, units: int, planned: int, alpha: float) -> Interval:
    """The sequence's interval at `units` units for an estimate that is a mean, or linear like one.

    standard_error: of the estimate now. planned: as for `spread_of`, fixed before the first look.
    """
    rho = spread_of(planned, alpha)
    grown = units * rho + 1
    if standard_error <= 0:
        return Interval(estimate, estimate, estimate, 1.0 if estimate == 0 else 0.0)
    half = standard_error * sqrt(2 * grown / (units * rho) * log(sqrt(grown) / alpha))
    score = (estimate / standard_error) ** 2 * units * rho / (2 * grown)
    p_value = min(1.0, sqrt(grown) * exp(-score)) if score < 700 else 0.0
    return Interval(estimate, estimate - half, estimate + half, p_value)

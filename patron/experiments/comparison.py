"""Arms beside the control: means, what was there before taken out (CUPED), intervals valid at every look."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from patron.experiments.sequential import Interval, interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Of one arm, after adjustment: units, mean, and variance of a unit."""

    units: int
    mean: float
    variance: float


@dataclass(frozen=True)
class Adjusted:
    """Outcomes less what the pre-period explains. `reduction`: the share of variance that this took away."""

    outcome: Floats
    theta: float
    reduction: float


@dataclass(frozen=True)
class Comparison:
    """A treated arm against the control. `interval` is None where an arm has too few units."""

    arm: int
    units: int
    mean: float
    difference: float
    relative: float | None
    standard_error: float
    interval: Interval | None


def cuped(outcome: Floats, before: Floats | None, arm: NDArray[np.int64]) -> Adjusted:
    """Outcomes with the covariate's part taken out; the difference of arms keeps its expectation.

    outcome, before: shape (n,); arm: shape (n,), from 0. theta is pooled over the arms, each about its own
    means, so that an effect is not taken for variance. Source: Deng, Xu, Kohavi & Walker 2013, section 3.2.
    """
    if before is None or len(outcome) < 3:
        return Adjusted(outcome, 0.0, 0.0)
    y, x = within(outcome, arm), within(before, arm)
    spread = float(x @ x)
    if spread <= 0:
        return Adjusted(outcome, 0.0, 0.0)
    theta = float(x @ y) / spread
    total = float(y @ y)
    left = y - theta * x
    reduction = 1 - float(left @ left) / total if total > 0 else 0.0
    return Adjusted(outcome - theta * (before - before.mean()), theta, max(reduction, 0.0))


def within(values: Floats, arm: NDArray[np.int64]) -> Floats:
    """Values less the mean of their arm."""
    sums = np.bincount(arm, values)
    return values - (sums / np.maximum(np.bincount(arm), 1))[arm]


def moments(values: Floats, arm: NDArray[np.int64], arms: int) -> list[Moments]:
    """Of every arm; NaN where an arm has nobody, or one for a variance."""
    found = []
    for each in range(arms):
        own = values[arm == each]
        mean = float(own.mean()) if len(own) else float("nan")
        found.append(Moments(len(own), mean, float(own.var(ddof=1)) if len(own) > 1 else float("nan")))
    return found


def compare(
    outcome: Floats,
    arm: NDArray[np.int64],
    arms: int,
    *,
    alpha: float,
    planned: int,
    least: int = 100,
) -> list[Comparison]:
    """Every arm from 1 on against arm 0. alpha: of each comparison, so the caller divides it among several.

    outcome: shape (n,), adjusted or not; arm: shape (n,). The order of the units does not matter:
    outcomes are fixed once their window is over.
    """
    control, *treated = moments(outcome, arm, arms)
    found = []
    for number, each in enumerate(treated, start=1):
        difference = each.mean - control.mean
        enough = min(each.units, control.units) >= max(least, 2)
        error = (
            sqrt(each.variance / each.units + control.variance / control.units) if enough else float("nan")
        )
        units = each.units + control.units
        found.append(
            Comparison(
                arm=number,
                units=each.units,
                mean=each.mean,
                difference=difference,
                relative=difference / abs(control.mean) if control.mean else None,
                standard_error=error,
                interval=interval(difference, error, units, planned, alpha) if enough else None,
            )
        )
    return found

"""How well an order of customers finds those on whom a treatment works: the area of the Qini curve.

The curve at a share s of customers is what the treated among the best s of the treated brought, a treated
customer, minus the same of the control: each arm is ordered by itself, so that they may differ in size. Its
area above the straight line of a random order is, with r the share of the own arm that comes before a
customer,

    mean over treated of outcome * (1/2 - r)  -  mean over control of outcome * (1/2 - r).

Ties share their mean place, so that the order of rows does not matter. Rows count 1 / propensity.
Source: Radcliffe 2007, "Using control groups to target on predicted lift".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import Numbers


@dataclass(frozen=True)
class Estimate:
    """A number, its standard error, and what every row of the log adds to it (mean 0 within an arm)."""

    value: float
    error: float
    parts: Numbers

    def bounds(self, z: float = 1.96) -> tuple[float, float]:
        return self.value - z * self.error, self.value + z * self.error


def places(effect: Numbers, weight: Numbers) -> Numbers:
    """Share of the weight that comes before each row, highest effect first, and half of what ties with it."""
    order = np.argsort(-effect, kind="stable")
    sorted_effect = effect[order]
    group = np.cumsum(np.append(False, sorted_effect[1:] != sorted_effect[:-1])[: len(order)])
    mass = np.bincount(group, weight[order])
    found = np.empty(len(order))
    found[order] = ((np.cumsum(mass) - mass / 2) / mass.sum())[group]
    return found


def area(effect: Numbers, treated: NDArray[np.bool_], outcome: Numbers, weight: Numbers) -> Estimate:
    """Area between the Qini curve and the line of a random order, in outcome a customer.

    All of shape (n,). Raises ValueError where an arm is empty.
    """
    found, parts = 0.0, np.zeros(len(effect))
    for arm, sign in ((treated, 1), (~treated, -1)):
        share, own = shares(weight, arm), np.zeros(len(effect))
        own[arm] = 0.5 - places(effect[arm], weight[arm])
        pushes = (outcome - share @ outcome) * own
        found += sign * float(share @ pushes)
        parts += sign * share * (pushes - share @ pushes)
    return Estimate(found, float(np.sqrt((parts**2).sum())), parts)


def average(treated: NDArray[np.bool_], outcome: Numbers, weight: Numbers) -> Estimate:
    """Difference between the weighted means of the two arms. Raises ValueError where an arm is empty."""
    found, parts = 0.0, np.zeros(len(outcome))
    for arm, sign in ((treated, 1), (~treated, -1)):
        share = shares(weight, arm)
        mean = float(share @ outcome)
        found += sign * mean
        parts += sign * share * (outcome - mean)
    return Estimate(found, float(np.sqrt((parts**2).sum())), parts)


def slope(effect: Numbers, treated: NDArray[np.bool_], outcome: Numbers, weight: Numbers) -> float:
    """How much of a difference in predicted effects is found again: 1 as predicted, 0 nothing.

    The interaction of treatment and predicted effect in a linear regression of the outcome; 0 where all
    effects are alike. Source: Chernozhukov, Demirer, Duflo & Fernandez-Val 2018, best linear predictor.
    """
    found = 0.0
    for arm, sign in ((treated, 1), (~treated, -1)):
        share = shares(weight, arm)
        off = effect - share @ effect
        spread = float(share @ off**2)
        found += sign * float(share @ (off * outcome)) / spread if spread > 1e-18 else 0.0
    return found


def saved(effect: Numbers, treated: NDArray[np.bool_], outcome: Numbers, weight: Numbers) -> Estimate:
    """Mean squared error of effects that is saved by these, beside the same effect for all; outcome squared.

    2 * (covariance of effect and outcome among the treated - that in the control) - variance of the effect.
    It sees how large effects are, where an order of customers sees only whose is larger. Source: Athey &
    Imbens 2016, the transformed outcome, in each arm.
    """
    both = weight / weight.sum()
    off = effect - both @ effect
    value, parts = -float(both @ off**2), -both * (off**2 - both @ off**2)
    for arm, sign in ((treated, 1), (~treated, -1)):
        share = shares(weight, arm)
        pushes = 2 * off * (outcome - share @ outcome)
        mean = float(share @ pushes)
        value, parts = value + sign * mean, parts + sign * share * (pushes - mean)
    return Estimate(value, float(np.sqrt((parts**2).sum())), parts)


def shares(weight: Numbers, arm: NDArray[np.bool_]) -> Numbers:
    """Weights of an arm that sum to 1, 0 for other rows."""
    if not arm.any():
        raise ValueError("An arm has no rows: an effect needs treated and control.")
    return np.where(arm, weight, 0.0) / weight[arm].sum()

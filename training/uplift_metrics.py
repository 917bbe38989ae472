"""How well predicted effects order customers, on a log that was randomised: Qini, uplift at a share.

Every function: effect (n,), predicted; treatment (n,) bool; outcome (n,), 0/1 or money; propensity (n,), of
what a row received, None where every row of an arm had the same. Ties share their mean place: the order of
rows never matters. Raises ValueError where nobody was treated, or nobody left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import Numbers
from patron.models.uplift_ranking import area, places, shares

Flags = NDArray[np.bool_]


def qini(effect: Numbers, treatment: Flags, outcome: Numbers, propensity: Numbers | None = None) -> float:
    """Area of the Qini curve over that of a perfect order, each less a random one's: 1 perfect, 0 random.

    The curve: outcome a customer of the best share s of the treated, less that of the best share s of the
    control, each arm ordered by itself. The perfect order knows the outcomes: those of the treated who
    brought most first, those of the control who brought most last; nobody can reach it. NaN where that is
    no better than a random one. Source: Radcliffe 2007; Radcliffe & Surry 2011.
    """
    weight = counted(propensity, outcome)
    perfect = area(np.where(treatment, outcome, -outcome), treatment, outcome, weight).value
    return area(effect, treatment, outcome, weight).value / perfect if perfect > 0 else float("nan")


def uplift_at(
    effect: Numbers,
    treatment: Flags,
    outcome: Numbers,
    propensity: Numbers | None = None,
    share: float = 0.3,
) -> float:
    """Average effect among the `share` of customers with the highest predicted effects."""
    curve = qini_curve(effect, treatment, outcome, propensity, at=np.array([share]))
    return float(curve.gain[0] / share)


@dataclass(frozen=True)
class QiniCurve:
    """share: of customers treated, the best first. gain: what that adds, in outcome of a customer of all."""

    share: Numbers
    gain: Numbers


def qini_curve(
    effect: Numbers,
    treatment: Flags,
    outcome: Numbers,
    propensity: Numbers | None = None,
    at: Numbers | None = None,
) -> QiniCurve:
    """The curve at these shares, by default at every hundredth; straight within ties."""
    weight = counted(propensity, outcome)
    share = np.linspace(0, 1, 101) if at is None else at
    gain = _reached(effect, treatment, outcome, weight, share)
    return QiniCurve(share, gain - _reached(effect, ~treatment, outcome, weight, share))


def _reached(effect: Numbers, arm: Flags, outcome: Numbers, weight: Numbers, at: Numbers) -> Numbers:
    """What the best share of one arm brought, a customer of the arm."""
    share = shares(weight, arm)[arm]
    place = places(effect[arm], weight[arm])
    _, group = np.unique(place, return_inverse=True)
    across = np.append(0.0, np.cumsum(np.bincount(group, share)))
    up = np.append(0.0, np.cumsum(np.bincount(group, share * outcome[arm])))
    return np.interp(at, across, up)


def counted(propensity: Numbers | None, outcome: Numbers) -> Numbers:
    """What a row counts."""
    return np.ones(len(outcome)) if propensity is None else 1 / propensity

"""A discrete-time hazard: for consecutive periods the chance that it happens, if it did not before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from patron.models.activity import Numbers

MOST = 300_000
"""Cases that a period is learned from; more of them are thinned evenly, as they change nothing."""


@dataclass(frozen=True)
class Hazard:
    """Logistic in each period: h_j = logistic(intercept_j + weights_j . (x - means) / deviations).

    The chance within periods 1..j is 1 - prod(1 - h_i), so that it never falls with j. Source: Singer and
    Willett 1993.
    """

    names: tuple[str, ...]
    days: tuple[int, ...]
    """Where the periods end; the first begins at 0."""
    means: Numbers
    deviations: Numbers
    weights: Numbers
    """Shape (inputs, periods)."""
    intercepts: Numbers

    @classmethod
    def fit(
        cls, names: tuple[str, ...], days: tuple[int, ...], inputs: Numbers, waits: Numbers, penalty: float
    ) -> Self:
        """inputs: (cases, inputs), without NaN. waits: days until it happened, inf where it did not."""
        means = inputs.mean(axis=0) if len(inputs) else np.zeros(len(names))
        deviations = inputs.std(axis=0) if len(inputs) else np.ones(len(names))
        deviations = np.where(deviations > 1e-9, deviations, 1.0)
        fitted = []
        for begin, end in zip((0, *days), days, strict=False):
            left = np.flatnonzero(waits >= begin)
            left = left[:: max(1, len(left) // MOST)]
            fitted.append(logistic((inputs[left] - means) / deviations, waits[left] < end, penalty))
        return cls(
            names,
            days,
            means,
            deviations,
            np.column_stack([weights for weights, _ in fitted]),
            np.array([intercept for _, intercept in fitted]),
        )

    def calibrated(self, cases: Sequence[tuple[Numbers, Numbers]]) -> Self:
        """The same with each period's intercept such that as much is expected of its cases as happened.

        cases: (inputs, waits) for each period, the newest that are known. A period in which nothing, or
        everything, happened to them stays as it is.
        """
        intercepts = self.intercepts.copy()
        periods = zip((0, *self.days), self.days, cases, strict=False)
        for place, (begin, end, (inputs, waits)) in enumerate(periods):
            left = waits >= begin
            odds = self.odds(inputs[left])[:, place]
            intercepts[place] += shift(odds, float((waits[left] < end).mean()) if len(odds) else 0.0)
        return replace(self, intercepts=intercepts)

    def odds(self, inputs: Numbers) -> Numbers:
        """Log-odds of each period's hazard, shape (cases, periods)."""
        scaled = self.weights / self.deviations[:, None]
        found: Numbers = inputs @ scaled + (self.intercepts - self.means @ scaled)
        return found

    def within(self, inputs: Numbers) -> Numbers:
        """P(it happens before the end of each period), shape (cases, periods)."""
        return 1 - np.cumprod(expit(-self.odds(inputs)), axis=1)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        arrays = ("means", "deviations", "weights", "intercepts")
        return {
            "names": self.names,
            "days": self.days,
            **{name: getattr(self, name).tolist() for name in arrays},
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        arrays = ("means", "deviations", "weights", "intercepts")
        return cls(
            names=tuple(document["names"]),
            days=tuple(document["days"]),
            **{name: np.array(document[name], dtype=np.float64) for name in arrays},
        )


def logistic(design: Numbers, happened: NDArray[np.bool_], penalty: float) -> tuple[Numbers, float]:
    """(weights, intercept) of maximum likelihood with an L2 penalty.

    Where nothing, or everything, happened: the smoothed rate alone.
    """
    from sklearn.linear_model import LogisticRegression

    if not 0 < happened.sum() < len(happened):
        rate = (happened.sum() + 0.5) / (len(happened) + 1)
        return np.zeros(design.shape[1]), float(logit(rate) if len(happened) else logit(0.01))
    found = LogisticRegression(C=1 / penalty, max_iter=2000).fit(design, happened)
    return found.coef_[0], float(found.intercept_[0])


def shift(odds: Numbers, rate: float) -> float:
    """What to add to log-odds so that the mean probability is `rate`; 0 where that is 0 or 1."""
    from scipy.optimize import brentq

    if not 0 < rate < 1:
        return 0.0
    return float(brentq(lambda more: expit(odds + more).mean() - rate, -30.0, 30.0))

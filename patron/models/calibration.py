"""Turning scores into probabilities that hold: a curve kept as points, applied by numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import expit, logit

from patron.errors import DataError
from patron.models.activity import Numbers, at_least, at_most

LOWEST, HIGHEST = 0.001, 0.999
"""No customer is certain to stay or to leave."""

BLEND = 0.001
"""Weight of the uncalibrated score: keeps the order among customers that isotonic regression ties."""

ENOUGH_FOR_ISOTONIC = 1000
"""With fewer outcomes a two-parameter sigmoid is the safer curve. Source: Niculescu-Mizil & Caruana 2005."""


@dataclass(frozen=True)
class Calibration:
    """A non-decreasing curve through (score, probability)."""

    scores: Numbers
    probabilities: Numbers

    @classmethod
    def none(cls) -> Self:
        """The scores as they are."""
        return cls(np.array([0.0, 1.0]), np.array([0.0, 1.0]))

    @classmethod
    def fit(cls, scores: Numbers, outcome: Numbers, curve: str = "isotonic") -> Self:
        """Learn the curve on customers that the score was not fitted on.

        scores: in 0..1. outcome: 0 or 1. curve: isotonic (Platt's sigmoid for small windows) or sigmoid.
        Raises DataError when every outcome is the same.
        """
        if len(np.unique(outcome)) < 2:
            raise DataError(
                "Every customer of the calibration window had the same outcome. "
                "Use a longer window or another horizon."
            )
        stepped = curve == "isotonic" and len(scores) >= ENOUGH_FOR_ISOTONIC
        return cls(*(isotonic(scores, outcome) if stepped else sigmoid(scores, outcome)))

    def __call__(self, scores: Any) -> Any:
        """Probabilities within LOWEST..HIGHEST in the order of the scores: no two different scores tie.

        scores: shape (customers,), or one number.
        """
        curve = at_most(at_least(np.interp(scores, self.scores, self.probabilities), LOWEST), HIGHEST)
        return (1 - BLEND) * curve + BLEND * (LOWEST + (HIGHEST - LOWEST) * scores)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"scores": self.scores.tolist(), "probabilities": self.probabilities.tolist()}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        return cls(np.array(document["scores"]), np.array(document["probabilities"]))


def isotonic(scores: Numbers, outcome: Numbers) -> tuple[Numbers, Numbers]:
    """The points of the isotonic regression of outcome on score."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, outcome)
    return fitted.X_thresholds_.astype(np.float64), fitted.y_thresholds_.astype(np.float64)


def sigmoid(scores: Numbers, outcome: Numbers, points: int = 201) -> tuple[Numbers, Numbers]:
    """Points of a sigmoid in the log-odds of the score. Source: Platt 1999, with his smoothed targets."""
    from scipy.optimize import minimize

    odds = logit(np.clip(scores, 1e-6, 1 - 1e-6))
    positive, negative = outcome.sum(), len(outcome) - outcome.sum()
    target = np.where(outcome > 0.5, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(parameters: Numbers) -> float:
        line = parameters[0] + parameters[1] * odds
        return float(np.sum(np.logaddexp(0, line) - target * line))

    found = minimize(loss, np.array([0.0, 1.0]), method="L-BFGS-B", bounds=[(-20, 20), (1e-3, 20)]).x
    grid = expit(np.linspace(-12, 12, points))
    return grid, expit(found[0] + found[1] * logit(grid))

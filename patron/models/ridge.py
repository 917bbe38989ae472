"""Ridge regression as data: for amounts, and for effects, which may be negative."""

from __future__ import annotations

from typing import Self

import numpy as np

from patron.models.activity import Numbers
from patron.models.logistic import Logistic, standardised


class Ridge(Logistic):
    """As `Logistic`, with `raw` read as the expected amount itself."""

    @classmethod
    def fit(cls, names: tuple[str, ...], inputs: Numbers, outcome: Numbers, regularization: float) -> Self:
        """Least squares with an L2 penalty on all but the intercept. Source: Hoerl & Kennard 1970."""
        medians, means, deviations, design = standardised(names, inputs)
        middle, mean = design.mean(axis=0), float(outcome.mean())
        centred = design - middle
        penalised = centred.T @ centred + regularization * np.eye(design.shape[1])
        slopes = np.linalg.solve(penalised, centred.T @ (outcome - mean))
        weights, missing = np.split(slopes, 2)
        return cls(names, medians, means, deviations, weights, missing, mean - float(middle @ slopes))

"""Logistic regression as data: fitted by scikit-learn, applied by numpy."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.models import browsing
from patron.models.activity import SKEWED, Numbers

LOGGED = SKEWED | frozenset(browsing.TYPES) | {"expected_orders"}


@dataclass(frozen=True)
class Logistic:
    """log-odds = intercept + sum over inputs of weight * standardised value + missing_weight * is missing.

    Inputs in LOGGED are read as log1p. A missing value takes the input's median.
    """

    names: tuple[str, ...]
    medians: Numbers
    means: Numbers
    deviations: Numbers
    weights: Numbers
    missing_weights: Numbers
    intercept: float

    @classmethod
    def fit(cls, names: tuple[str, ...], inputs: Numbers, outcome: Numbers, regularization: float) -> Self:
        """Maximum likelihood with an L2 penalty of strength `regularization`. Deterministic."""
        from sklearn.linear_model import LogisticRegression

        medians, means, deviations, design = standardised(names, inputs)
        model = LogisticRegression(C=1 / regularization, max_iter=2000).fit(design, outcome > 0.5)
        weights, missing = np.split(model.coef_[0], 2)
        return cls(names, medians, means, deviations, weights, missing, float(model.intercept_[0]))

    def contributions(self, inputs: Numbers) -> Numbers:
        """What each input adds to the log-odds of an average customer, shape (customers, inputs)."""
        values = np.where(self.logged, np.log1p(np.maximum(inputs, 0)), inputs)
        absent = np.isnan(values)
        standard = (np.where(absent, self.medians, values) - self.means) / self.deviations
        return standard * self.weights + absent * self.missing_weights

    def raw(self, inputs: Numbers) -> Numbers:
        """Shape (customers,)."""
        return self.intercept + self.contributions(inputs).sum(axis=1)

    def explained(self, inputs: Numbers) -> tuple[float, Numbers]:
        """(`raw`, `contributions`) of one row of shape (inputs,)."""
        pushes = self.contributions(inputs[None])
        return float((self.intercept + pushes.sum(axis=1))[0]), pushes[0]

    @cached_property
    def logged(self) -> NDArray[np.bool_]:
        """Which inputs are read as log1p."""
        return logged(self.names)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            name: each.tolist() if isinstance(each, np.ndarray) else each
            for name, each in asdict(self).items()
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        arrays = {
            name: np.array(each, dtype=np.float64) for name, each in document.items() if name != "names"
        }
        return cls(**{**arrays, "names": tuple(document["names"]), "intercept": document["intercept"]})


def standardised(names: tuple[str, ...], inputs: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """(medians, means, deviations, design); design: (customers, 2 * inputs), values, then what is missing."""
    values = unskewed(names, inputs)
    medians = medians_of(values)
    filled = np.where(np.isnan(values), medians, values)
    means, deviations = filled.mean(axis=0), filled.std(axis=0)
    deviations = np.where(deviations > 1e-9, deviations, 1.0)
    design = np.hstack([(filled - means) / deviations, np.isnan(values).astype(np.float64)])
    return medians, means, deviations, design


def unskewed(names: tuple[str, ...], inputs: Numbers) -> Numbers:
    """log1p of the inputs with a long tail; below 0 counts as 0 there."""
    return np.where(logged(names), np.log1p(np.maximum(inputs, 0)), inputs)


def logged(names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which of these inputs are in LOGGED."""
    return np.array([name in LOGGED for name in names], dtype=bool)


def medians_of(inputs: Numbers) -> Numbers:
    """Median of each column, 0 where all are missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nan_to_num(np.nanmedian(inputs, axis=0))

"""When the next order is due: a renewal process with the customer's own rhythm."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from scipy.special import gammaincc

from patron.models.activity import One, at_least, at_most, column, filled
from patron.models.base import FeatureRows

FARTHEST = 500.0
"""Multiples of the distribution's scale, beyond which float64 loses the tail; the wait has converged."""


@dataclass(frozen=True)
class Waiting:
    """Times between purchase days are gamma distributed: shape shared, mean the customer's own.

    The mean is shrunk to the shop's: (repeats * own + prior_repeats * shop's) / (repeats + prior_repeats).
    Given that the last order is r days old, the mean time still to wait is m * Q(k+1, kr/m) / Q(k, kr/m) - r
    with Q the regularised upper incomplete gamma function: k > 1 means that orders become due.
    """

    mean_days: float = 30.0
    shape: float = 1.0
    prior_repeats: float = 2.0

    @classmethod
    def fit(cls, rows: FeatureRows) -> Self:
        """Shop's mean gap and regularity, from the customers with at least two, and three, gaps."""
        gap, deviation = column(rows, "mean_gap_days"), column(rows, "sd_gap_days")
        gaps = gap[gap > 0]
        regular = (gap > 0) & (deviation > 0) & (column(rows, "purchase_days") >= 4)
        shape = float(np.median((gap[regular] / deviation[regular]) ** 2)) if regular.any() else 1.0
        return cls(float(np.median(gaps)) if len(gaps) else 30.0, float(np.clip(shape, 0.5, 8.0)))

    def remaining(self, rows: FeatureRows | One) -> Any:
        """Mean days until the next order of a customer who stays, shape (customers,), at least 0."""
        recency = filled(column(rows, "recency_days"))
        own = column(rows, "mean_gap_days")
        repeats = at_least(filled(column(rows, "purchase_days")) - 1, 0.0) * (own == own)
        shrunk = repeats * filled(own) + self.prior_repeats * self.mean_days
        mean = at_least(shrunk / (repeats + self.prior_repeats), 1.0)
        elapsed = at_most(self.shape * recency / mean, FARTHEST)
        ahead = gammaincc(self.shape + 1, elapsed) / gammaincc(self.shape, elapsed)
        return at_least(mean * (ahead - elapsed / self.shape), 0.0)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        return cls(**document)

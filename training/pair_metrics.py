"""Metrics over pairs of customer and product where customers are resampled: made of sums a customer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from patron.models.bought_pairs import summed
from training import metrics
from training.bootstrap import Indices, Judgement

Numbers = NDArray[np.float64]

LISTED = 5
"""Products at the top of each customer's list that precision is told of."""


class PairOutcomes:
    """What became of pairs beside what was expected of them.

    customer: (pairs,), ascending, any numbers. waits: (pairs,), days until bought again. probability:
    (pairs, days), P(bought within each of `days`). Metrics of the longest of them have the plain names,
    those of the others end in their number: `brier`, `brier_7`.
    """

    def __init__(
        self,
        customer: NDArray[np.int64],
        waits: Numbers,
        probability: Numbers,
        days: Sequence[int],
    ) -> None:
        names, self.customer = np.unique(customer, return_inverse=True)
        self.customers = len(names)
        self.days = tuple(days)
        self.outcome = (waits[:, None] < np.array(days)).astype(np.float64)
        self.probability = probability
        self.counted = np.bincount(self.customer, minlength=self.customers).astype(np.float64)

    def total(self, values: Numbers) -> Numbers:
        """Sum of each customer."""
        return summed(values, self.customer, self.customers)

    def name(self, metric: str, place: int) -> str:
        return metric if self.days[place] == max(self.days) else f"{metric}_{self.days[place]}"

    def judgement(self, primary: str, whole: dict[str, float] | None = None) -> Judgement:
        """The metrics of resampled customers, and beside them `whole`."""
        sums = [self.sums(place) for place in range(len(self.days))] if self.customers else []

        def measure(at: Indices) -> dict[str, float]:
            drawn = np.bincount(at, minlength=self.customers).astype(np.float64)
            found: dict[str, float] = {} if sums else {primary: float("nan")}
            for place, each in enumerate(sums):
                found |= {self.name(name, place): value for name, value in each.measure(drawn).items()}
            return found

        return Judgement(measure, self.customers, primary, whole=whole or {})

    def sums(self, place: int) -> Sums:
        """What the metrics of one of the days are made of."""
        y, p = self.outcome[:, place], self.probability[:, place]
        order = np.lexsort((-p, self.customer))
        begins = np.cumsum(self.counted) - self.counted
        first = np.arange(len(order)) - begins[self.customer[order]] < LISTED
        listed = summed(y[order][first], self.customer[order][first], self.customers)
        return Sums(
            self.customer,
            y,
            np.argsort(p, kind="stable"),
            np.unique(p, return_inverse=True)[1],
            self.counted,
            self.total((y - p) ** 2),
            self.total(losses(y, p)),
            listed,
            np.minimum(self.counted, LISTED),
        )

    def calibration(self, seed: int) -> dict[str, float]:
        """Calibration error and its band for each of the days; see `metrics.calibration_band`.

        The band draws each pair for itself, while products of one customer are bought together or not at
        all; `calibration_band_shared` is wider by the root of the design effect (Kish 1965, section 5.4),
        which the spread of the customers' sums shows.
        """
        found: dict[str, float] = {}
        for place in range(len(self.days)) if self.customers else []:
            y, p = self.outcome[:, place], self.probability[:, place]
            band = metrics.calibration_band(p, seed, rounds=200)
            found |= {
                self.name("expected_calibration_error", place): metrics.expected_calibration_error(y, p),
                self.name("calibration_band", place): band,
                self.name("calibration_band_shared", place): float(band * np.sqrt(self.design_effect(y, p))),
                self.name("rate", place): float(y.mean()),
                self.name("expected_rate", place): float(p.mean()),
            }
        return found

    def design_effect(self, y: Numbers, p: Numbers) -> float:
        """How many times larger the variance of a sum is than if pairs were independent; at least 1.

        The sums are of residuals less their mean, so that a bias of all counts as none.
        """
        residual = y - p - (y - p).mean()
        sums = self.total(residual)
        return max(1.0, float((sums**2).sum() / max((p * (1 - p)).sum(), 1e-12)))


class Sums:
    """Metrics of one horizon for customers drawn any number of times, without sorting again."""

    def __init__(
        self,
        customer: NDArray[np.int64],
        outcome: Numbers,
        order: NDArray[np.int64],
        group: NDArray[np.int64],
        counted: Numbers,
        squares: Numbers,
        losses: Numbers,
        listed: Numbers,
        places: Numbers,
    ) -> None:
        self.customer, self.outcome = customer[order], outcome[order]
        self.ends = np.flatnonzero(np.diff(group[order], append=-1))
        self.counted, self.squares, self.losses = counted, squares, losses
        self.listed, self.places = listed, places

    def measure(self, drawn: Numbers) -> dict[str, float]:
        """drawn: how often each customer was drawn."""
        pairs = max(float(drawn @ self.counted), 1.0)
        return {
            "roc_auc": self.auc(drawn[self.customer]),
            "brier": float(drawn @ self.squares) / pairs,
            "log_loss": float(drawn @ self.losses) / pairs,
            f"precision_at_{LISTED}": float(drawn @ self.listed) / max(float(drawn @ self.places), 1.0),
        }

    def auc(self, weight: Numbers) -> float:
        """`metrics.roc_auc` of pairs that count `weight` times, by ascending score."""
        positive = np.cumsum(weight * self.outcome)[self.ends]
        negative = np.cumsum(weight)[self.ends] - positive
        if not positive[-1] or not negative[-1]:
            return float("nan")
        steps = np.diff(positive, prepend=0.0)
        below = negative - np.diff(negative, prepend=0.0) / 2
        return float(steps @ below / (positive[-1] * negative[-1]))


def losses(outcome: Numbers, probability: Numbers) -> Numbers:
    """The terms that `metrics.log_loss` is the mean of."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    found: Numbers = -(outcome * np.log(p) + (1 - outcome) * np.log(1 - p))
    return found

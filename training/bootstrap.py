"""Intervals by resampling customers: of a metric, and of the difference between two models on one window."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Judgement:
    """How one model did on a window.

    `measure(indices)` gives every metric over the customers at `indices`. Judgements of the same window list
    the same customers in the same order, so that they can be compared pairwise. `slices`: name -> indices.
    """

    measure: Callable[[Indices], dict[str, float]]
    customers: int
    primary: str
    slices: dict[str, Indices] = field(default_factory=dict)
    whole: dict[str, float] = field(default_factory=dict)
    """Metrics of the window as a whole, which resampled customers say nothing about."""

    @property
    def metrics(self) -> dict[str, float]:
        return {**self.measure(np.arange(self.customers)), **self.whole}


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


def draws(customers: int, rounds: int, seed: int) -> list[Indices]:
    rng = np.random.default_rng(seed)
    return [rng.integers(customers, size=customers) for _ in range(rounds)]


def intervals(judged: Judgement, seed: int, rounds: int = 200, level: float = 0.95) -> dict[str, Interval]:
    """Percentile bootstrap interval of every metric (Efron & Tibshirani 1993, chapter 13)."""
    if not judged.customers:
        return {name: Interval(value, math.nan, math.nan) for name, value in judged.metrics.items()}
    samples = [judged.measure(each) for each in draws(judged.customers, rounds, seed)]
    tail = (1 - level) / 2
    return {
        name: Interval(value, *_bounds([sample[name] for sample in samples if name in sample], tail))
        for name, value in judged.metrics.items()
    }


def difference(
    one: Judgement, other: Judgement, seed: int, rounds: int = 400, level: float = 0.95
) -> Interval:
    """Paired bootstrap interval of `one` minus `other` in their primary metric.

    Raises ValueError when they are not of the same window.
    """
    if one.customers != other.customers or one.primary != other.primary:
        raise ValueError("Only judgements of the same customers and metric can be compared.")
    name = one.primary
    gaps = [
        one.measure(each)[name] - other.measure(each)[name] for each in draws(one.customers, rounds, seed)
    ]
    return Interval(one.metrics[name] - other.metrics[name], *_bounds(gaps, (1 - level) / 2))


def paired(gaps: NDArray[np.float64], seed: int, rounds: int = 400, level: float = 0.95) -> Interval:
    """Bootstrap interval of the mean of one difference a customer."""
    means = [float(gaps[each].mean()) for each in draws(len(gaps), rounds, seed)]
    return Interval(float(gaps.mean()), *_bounds(means, (1 - level) / 2))


def interval(value: float, samples: NDArray[np.float64], level: float = 0.95) -> Interval:
    """The percentile interval of samples around a value; NaN where there are none."""
    return Interval(value, *_bounds(samples.tolist(), (1 - level) / 2))


def _bounds(values: list[float], tail: float) -> tuple[float, float]:
    found = np.asarray(values)
    found = found[~np.isnan(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)

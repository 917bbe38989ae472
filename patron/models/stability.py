"""The population stability index, what chance alone makes of it, and how far it usually moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from patron.models.bins import Counts

DRAWS = 500
"""Random divisions that tell the mean and the spread of PSI by chance."""

FEWEST = 4
"""With fewer moments a shop's own movement is not known."""


def psi(then: NDArray[Any], now: NDArray[Any]) -> NDArray[np.float64]:
    """Population stability index, sum (p - q) ln(p / q), of counts, shape (..., bins) each.

    Half a row is added to every bin, so that an empty one is no infinity. Source: Yurdakul 2018, chapter 2;
    the Jeffreys divergence of Kullback & Leibler 1951.
    """
    p, q = (
        (counts + 0.5) / (counts.sum(axis=-1, keepdims=True) + 0.5 * counts.shape[-1])
        for counts in (np.asarray(then, dtype=np.float64), np.asarray(now, dtype=np.float64))
    )
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1))


def chance(then: Counts, now: Counts, level: float, rng: np.random.Generator) -> float:
    """The PSI that a random division of the same rows exceeds with probability `level`.

    A permutation test: of binned rows, a random division is one draw of a multivariate hypergeometric
    distribution. Its far tail is taken from the gamma distribution with the mean and the variance of DRAWS
    divisions, as PSI without a shift is a scaled chi-squared (Yurdakul 2018, chapter 3).
    """
    together = then + now
    draws = rng.multivariate_hypergeometric(together, int(now.sum()), size=DRAWS)
    found = psi(together - draws, draws)
    mean, variance = float(found.mean()), float(found.var())
    if variance < 1e-18:  # nothing but rounding
        return mean + 1e-9
    return float(gammaincinv(mean**2 / variance, 1 - level) * variance / mean)


def gaps(counts: Counts) -> Counts:
    """Rows that are there and rows that are missing (the last bin), shape (..., 2)."""
    return np.stack([counts[..., :-1].sum(axis=-1), counts[..., -1]], axis=-1)


@dataclass(frozen=True)
class Movement:
    """How far something used to move: (days, the largest PSI between moments at most so far apart)."""

    points: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, counted: Counts, days: NDArray[np.float64]) -> Self:
        """From counts at moments, shape (moments, bins), oldest first."""
        earlier, later = np.triu_indices(len(counted), 1)
        moved, lags = psi(counted[earlier], counted[later]), days[later] - days[earlier]
        order = np.argsort(lags, kind="stable")
        largest = np.maximum.accumulate(moved[order])
        return cls(tuple(dict(zip(lags[order].tolist(), largest.tolist(), strict=True)).items()))

    def usual(self, days: float | None) -> float:
        """The largest movement within so many days; None: the largest of all.

        Further than ever seen it grows by the square, as the PSI of a steady trend does; that of a random
        walk grows slower.
        """
        if not self.points:
            return 0.0
        longest, largest = self.points[-1]
        if days is None:
            return largest
        within = [moved for lag, moved in self.points if lag <= max(days, self.points[0][0])]
        return within[-1] * max(1.0, days / longest) ** 2


def beaten(counted: Counts, days: NDArray[np.float64]) -> float:
    """By what factor a moment of the second half moved further than usual, by all before it; at least 1.

    What chance alone makes of so many rows counts as usual. counted: shape (moments, bins), oldest first.
    """
    found = [1.0]
    for at in range(max(2, len(counted) // 2), len(counted)):
        usual = Movement.of(counted[:at], days[:at])
        moved, noise = psi(counted[:at], counted[at]), expected(counted[:at], counted[at])
        lags = days[at] - days[:at]
        found += [
            float(each / max(usual.usual(float(lag)), floor))
            for each, lag, floor in zip(moved, lags, noise, strict=True)
        ]
    return max(found)


def expected(then: Counts, now: Counts) -> NDArray[np.float64]:
    """Mean PSI of random divisions, (bins - 1)(1 / n + 1 / m) (Yurdakul 2018, chapter 3)."""
    sizes = 1 / np.maximum(then.sum(axis=-1), 1) + 1 / max(int(now.sum()), 1)
    return np.asarray((then.shape[-1] - 1) * sizes)

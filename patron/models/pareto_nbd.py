"""Pareto/NBD: Poisson purchases, and lifetimes that end at any time. Source: Schmittlein et al. 1987.

The likelihood is that of Fader & Hardie 2005, 'A note on deriving the Pareto/NBD model', before its integral
is solved: the closed form (two hypergeometric functions) is up to a hundred times slower where one of alpha
and beta is much larger than the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, gammaln, psi

from patron.models.btyd_fitting import FittedToPurchases, Numbers, Sloped

RULES = {
    size: [
        (each[:, None] + at) / 2
        for each, at in zip(np.polynomial.legendre.leggauss(size), (1, 0), strict=True)
    ]
    for size in (8, 16, 32)
}
"""Nodes and weights of Gauss-Legendre quadrature over 0..1, shape (size, 1)."""

HARD = (4.0, 9.0)
"""Up to which length and fall of a logarithm 8 nodes do, and 16, to 1e-9."""

AT_ONCE = 8192
"""Customers times nodes that are integrated in one go: few enough for the processor's cache."""


@dataclass(frozen=True)
class ParetoNBD(FittedToPurchases):
    r: float
    alpha: float
    s: float
    beta: float
    log_likelihood: float = float("nan")

    STARTS: ClassVar = ((0.5, 0.3, 0.5, 0.3), (2.0, 0.5, 0.3, 3.0))
    UNITS: ClassVar = (False, True, False, True)

    def _by_count(self, x: Numbers) -> Sloped:
        nothing = np.zeros(len(x))
        slopes = np.stack([psi(self.r + x) - psi(self.r), nothing, nothing, nothing])
        return gammaln(self.r + x) - gammaln(self.r), slopes

    def _by_age(self, x: Numbers, t_x: Numbers, T: Numbers) -> Sloped:
        """log of alpha^r beta^s (A + S): alive at T, and stopped before."""
        r, alpha, s, beta = self.r, self.alpha, self.s, self.beta
        stopped, steeper = np.empty(len(x)), np.empty((4, len(x)))
        for part, first, length, u, parts in self._integrated(x, t_x, T):
            total = parts.sum(axis=0)
            with np.errstate(divide="ignore"):  # nobody stopped between t_x and T where they are one
                stopped[part] = np.log(s * length * total) + first
            for slope, each in zip(steeper, self._slopes(x[part], u), strict=True):
                slope[part] = (parts * each).sum(axis=0) / total
        alive = self._log_alive(x, T)
        still = np.stack([-np.log(alpha + T), -(r + x) / (alpha + T), -np.log(beta + T), -s / (beta + T)])
        front = np.array([[np.log(alpha)], [r / alpha], [np.log(beta)], [s / beta]])
        steeper[2] += 1 / s
        value = r * np.log(alpha) + s * np.log(beta) + np.logaddexp(alive, stopped)
        return value, front + still + expit(stopped - alive) * (steeper - still)

    def _slopes(self, x: Numbers, u: Numbers) -> Iterator[Numbers]:
        """Derivatives of the logarithm of the integrand."""
        yield -np.log(self.alpha + u)
        yield -(self.r + x) / (self.alpha + u)
        yield -np.log(self.beta + u)
        yield -(self.s + 1) / (self.beta + u)

    def _log_alive(self, x: Numbers, T: Numbers) -> Numbers:
        return -(self.r + x) * np.log(self.alpha + T) - self.s * np.log(self.beta + T)

    def _log_stopped(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """log of s * integral over u in (t_x, T) of (alpha + u)^-(r + x) (beta + u)^-(s + 1)."""
        shape = np.broadcast_shapes(np.shape(x), np.shape(t_x), np.shape(T))
        x, t_x, T = (np.broadcast_to(each, shape).ravel() for each in (x, t_x, T))
        found = np.empty(len(x))
        for part, first, length, _, parts in self._integrated(x, t_x, T):
            total = np.cumsum(parts, axis=0)[-1]  # in order: the same bits beside any other customer
            with np.errstate(divide="ignore"):
                found[part] = np.log(self.s) + first + np.log(length * total)
        return found.reshape(shape)

    def _integrated(
        self, x: Numbers, t_x: Numbers, T: Numbers
    ) -> Iterator[tuple[NDArray[np.int64], Numbers, Numbers, Numbers, Numbers]]:
        """Some customers at a time: (who, log of the integrand at t_x, length, nodes u, weighted values
        there over that at t_x), the last two of shape (nodes, customers).

        In y = log(min(alpha, beta) + u) the integrand's singularities stay pi away; what lies e^-40 below
        the start is cut off.
        """
        shape, least = self.r + x, min(self.alpha, self.beta)
        last = (self.alpha + t_x) * np.exp(np.minimum(40 / shape, 100)) - self.alpha
        last = np.maximum(np.minimum(T, last), t_x)
        length = np.log((least + last) / (least + t_x))
        first = self._integrand(shape, t_x, least)
        hard = length + np.abs(first - self._integrand(shape, last, least))
        for size, rows in sized(hard):
            nodes, weights = RULES[size]
            start = least + t_x[rows]
            u = start * np.exp(nodes * length[rows]) - least
            values = np.exp(self._integrand(shape[rows], u, least) - first[rows])
            yield rows, first[rows], length[rows], u, weights * values

    def _integrand(self, shape: Numbers, u: Numbers, least: float) -> Numbers:
        alpha, beta = np.log(self.alpha + u), np.log(self.beta + u)
        return (alpha if least == self.alpha else beta) - shape * alpha - (self.s + 1) * beta

    def probability_alive(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """P(still a customer at T). Source: Fader & Hardie 2005, the same note."""
        return expit(self._log_alive(x, T) - self._log_stopped(x, t_x, T))

    def expected_purchases(
        self, t: ArrayLike, x: Numbers, t_x: Numbers, T: Numbers, alive: Numbers | None = None
    ) -> Numbers:
        """Mean number of purchases in (T, T + t]. Source: Schmittlein et al. 1987."""
        growth = np.log1p(np.asarray(t) / (self.beta + T))
        excess = self.s - 1
        years = growth if abs(excess) < 1e-9 else -np.expm1(-excess * growth) / excess
        rate = (self.r + x) * (self.beta + T) / (self.alpha + T)
        return (self.probability_alive(x, t_x, T) if alive is None else alive) * rate * years

    def probability_of_purchase(
        self, t: ArrayLike, x: Numbers, t_x: Numbers, T: Numbers, alive: Numbers | None = None
    ) -> Numbers:
        """P(at least one purchase in (T, T + t]).

        Given alive, with r' = r + x, alpha' = alpha + T, beta' = beta + T, integrate over u in (0, t)
        the density of the next purchase, r'/alpha' (1 + u/alpha')^-(r'+1), times P(not stopped by u),
        (1 + u/beta')^-s. In w = 1 - (1 + u/alpha')^-r' the integrand is smooth: Gauss-Legendre.
        """
        shape, until = self.r + np.asarray(x), self.alpha + np.asarray(T)
        most = -np.expm1(-shape * np.log1p(np.asarray(t) / until))
        kept = np.empty(np.shape(most))
        (nodes, weights), step = RULES[32], AT_ONCE // 32
        for at in range(0, len(most), step):
            rows = slice(at, at + step)
            u = until[rows] * np.expm1(-np.log1p(-nodes * most[rows]) / shape[rows])
            left = np.exp(-self.s * np.log1p(u / (self.beta + T[rows])))
            kept[rows] = np.cumsum(weights * left, axis=0)[-1]
        return (self.probability_alive(x, t_x, T) if alive is None else alive) * most * kept


def sized(hard: Numbers) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """How many nodes do for which rows, some rows at a time."""
    rule = np.searchsorted(HARD, hard)
    for place, size in enumerate(RULES):
        rows = np.flatnonzero(rule == place)
        step = AT_ONCE // size
        for at in range(0, len(rows), step):
            yield size, rows[at : at + step]

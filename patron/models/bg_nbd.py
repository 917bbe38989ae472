"""BG/NBD and the modified BG/NBD: Poisson purchases, and a chance to leave at each of them.

A customer who was let go k times has a chance to leave of which beta(a, b) is drawn. BG/NBD lets customers go
after each repeat purchase, k = x; the modified one also after the first purchase, k = x + 1. All else is the
same. The hypergeometric function stands in the form that Euler's transformation gives: nothing overflows or
vanishes for customers with hundreds of purchases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, expit, gammaln, hyp2f1, psi

from patron.models.btyd_fitting import FittedToPurchases, Numbers, Sloped


@dataclass(frozen=True)
class BGNBD(FittedToPurchases):
    """Source: Fader, Hardie & Lee 2005."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float = float("nan")

    STARTS: ClassVar = ((0.5, 0.2, 0.8, 2.0), (2.0, 0.5, 0.1, 3.0))
    UNITS: ClassVar = (False, True, False, False)
    FIRST: ClassVar = 0
    """1 where customers may leave after their first purchase already."""

    def _by_count(self, x: Numbers) -> Sloped:
        """What follows from x alone of equation 6."""
        r, a, b, k = self.r, self.a, self.b, x + self.FIRST
        value = gammaln(r + x) - gammaln(r) + betaln(a, b + k) - betaln(a, b)
        fewer = psi(a + b) - psi(a + b + k)
        return value, np.stack([psi(r + x) - psi(r), np.zeros(len(x)), fewer, fewer + psi(b + k) - psi(b)])

    def _by_age(self, x: Numbers, t_x: Numbers, T: Numbers) -> Sloped:
        """The rest of equation 6."""
        r, alpha, a, shape = self.r, self.alpha, self.a, self.r + x
        odds, left = self._log_left_odds(x, t_x, T), self._left_by(x)
        whole, silent = np.log1p(T / alpha), np.log((alpha + T) / (alpha + t_x))
        value = -shape * whole - x * np.log(alpha) + np.logaddexp(0.0, odds)
        gone, ages = expit(odds), (t_x - T) / ((alpha + T) * (alpha + t_x))
        return value, np.stack(
            [
                gone * silent - whole,
                r / alpha - shape / (alpha + T) + gone * shape * ages,
                gone / a,
                -gone / left,
            ]
        )

    def _left_by(self, x: Numbers) -> Numbers:
        return self.b + np.maximum(x + self.FIRST, 1) - 1

    def _log_left_odds(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """log odds of having left; -inf for who was never let go."""
        odds = np.log(self.a / self._left_by(x)) + (self.r + x) * np.log(
            (self.alpha + T) / (self.alpha + t_x)
        )
        return odds if self.FIRST else np.where(np.asarray(x) > 0, odds, -np.inf)

    def probability_alive(self, x: Numbers, t_x: Numbers, T: Numbers) -> Numbers:
        """P(still a customer at T). BG/NBD's is 1 for every one-time buyer: never use it as a churn score."""
        return expit(-self._log_left_odds(x, t_x, T))

    def expected_purchases(
        self, t: ArrayLike, x: Numbers, t_x: Numbers, T: Numbers, alive: Numbers | None = None
    ) -> Numbers:
        """Mean number of purchases in (T, T + t]. Source: Fader, Hardie & Lee 2005, equation 10."""
        r, alpha, b = self.r, self.alpha, self.b + self.FIRST
        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6
        z = np.asarray(t) / (alpha + T + np.asarray(t))
        kept = (1 - z) ** (a - 1) * hyp2f1(a + b - 1 - r, a - 1, a + b + x - 1, z)
        sure = self.probability_alive(x, t_x, T) if alive is None else alive
        return sure * (a + b + x - 1) / (a - 1) * (1 - kept)

    def probability_of_purchase(
        self, t: ArrayLike, x: Numbers, t_x: Numbers, T: Numbers, alive: Numbers | None = None
    ) -> Numbers:
        """P(at least one purchase in (T, T + t]): alive, and a Poisson of mixed rate not zero."""
        waits = -np.expm1(-(self.r + x) * np.log1p(np.asarray(t) / (self.alpha + T)))
        return (self.probability_alive(x, t_x, T) if alive is None else alive) * waits


@dataclass(frozen=True)
class MBGNBD(BGNBD):
    """Source: Batislam, Denizel & Filiztekin 2007."""

    FIRST: ClassVar = 1

"""When the next order comes: a renewal process with the customer's own rhythm, which may have ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.special import betaincc, betainccinv, expit, log1p

from patron.models.activity import Numbers, One, at_least, column, filled
from patron.models.base import FeatureRows

LEAST = 1e-290
"""Share of the distribution's tail below which float64 tells nothing of it."""

START = np.array([0.0, 0.0, 0.7, -2.0, -0.5])
"""Logarithms of the mean (in the shop's), shape and prior; intercept and slope of the share that is lost."""
BOUNDS = ((-3, 3), (-1.5, 3), (-1, 4), (-8, 3), (-3, 1))
DOUBT = 3.0
"""What the square of a step away from START costs, in nats: little beside what hundreds of customers tell."""


MOST = 2000
"""Customers that five numbers are learned from; more of them are thinned evenly."""
READ = ("recency_days", "mean_gap_days", "purchase_days")


class Rhythm(NamedTuple):
    """Of each customer: days since the last purchase day, and what the next gap is expected to be."""

    recency: Any
    repeats: Any
    scale: Any
    tail: Any


@dataclass(frozen=True)
class Waiting:
    """Times between purchase days are gamma distributed: shape shared, rate the customer's own.

    Rates are gamma distributed among customers. Of one with n gaps of mean g the next gap over its scale is
    beta prime (shape, shape * (n + prior_repeats) + 1), and its mean is the customer's shrunk to the shop's:
    (n * g + prior_repeats * mean_days) / (n + prior_repeats). Source: Gelman et al. 2013, section 2.6 (the
    conjugate pair). After each purchase a customer is lost for ever with the chance
    logistic(lost + lost_slope * log(1 + n)): as Fader, Hardie & Lee 2005, here for any rhythm.
    """

    mean_days: float = 30.0
    shape: float = 1.0
    prior_repeats: float = 2.0
    lost: float = -2.0
    lost_slope: float = -1.0

    @classmethod
    def fit(cls, rows: FeatureRows, came: Any = None, horizon_days: int = 0) -> Self:
        """Maximum likelihood of who came within `horizon_days` of the rows' cutoffs, held to START a little.

        came: 1 where an order followed, shape (customers,). Without it, or where all did alike, the shop's
        mean gap is all that is learned.
        """
        gaps = column(rows, "mean_gap_days")
        gaps = gaps[gaps > 0]
        usual = cls(float(np.median(gaps)) if len(gaps) else 30.0)
        outcome = np.zeros(0) if came is None else np.asarray(came, dtype=np.float64)
        return fitted(usual, rows, outcome, horizon_days) if 0 < outcome.sum() < len(outcome) else usual

    def remaining(self, rows: FeatureRows | One) -> Any:
        """Days until the next order of a customer who stays, shape (customers,), at least 0: the median, by
        which half of them have come."""
        found = self.rhythm(rows)
        ahead = at_least(self.left(found, found.recency) / 2, LEAST)
        share = betainccinv(self.shape, found.tail, ahead)
        return at_least(found.scale * share / (1 - share) - found.recency, 0.0)

    def order_within(self, rows: FeatureRows | One, days: float) -> Any:
        """P(an order within `days`), shape (customers,): of everybody, also of those who may be lost."""
        found = self.rhythm(rows)
        lost = expit(self.lost + self.lost_slope * log1p(found.repeats))
        now, then = (self.left(found, found.recency + more) for more in (0.0, days))
        return (1 - lost) * (now - then) / at_least(lost + (1 - lost) * now, LEAST)

    def rhythm(self, rows: FeatureRows | One) -> Rhythm:
        own = column(rows, "mean_gap_days")
        repeats = at_least(filled(column(rows, "purchase_days")) - 1, 0.0) * (own == own)
        scale = at_least(repeats * filled(own) + self.prior_repeats * self.mean_days, 1e-3)
        tail = self.shape * (repeats + self.prior_repeats) + 1
        return Rhythm(at_least(filled(column(rows, "recency_days")), 0.0), repeats, scale, tail)

    def left(self, found: Rhythm, days: Any) -> Any:
        """P(the gap is longer than so many days)."""
        return betaincc(self.shape, found.tail, days / (found.scale + days))

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        return cls(**document)


def fitted(usual: Waiting, rows: FeatureRows, came: Numbers, horizon_days: int) -> Any:
    """The most likely of such models, found from the shop's usual mean on."""
    from scipy.optimize import minimize

    thin = slice(None, None, max(1, len(came) // MOST))
    rows, came = {name: column(rows, name)[thin] for name in READ}, came[thin]

    def of(point: Numbers) -> Waiting:
        mean, shape, prior = (float(each) for each in np.exp(point[:3]))
        return type(usual)(usual.mean_days * mean, shape, prior, float(point[3]), float(point[4]))

    def loss(point: Numbers) -> float:
        chance = np.clip(of(point).order_within(rows, horizon_days), 1e-9, 1 - 1e-9)
        told = came * np.log(chance) + (1 - came) * np.log(1 - chance)
        return float((DOUBT * ((point - START) ** 2).sum() - told.sum()) / len(came))

    return of(minimize(loss, START, method="L-BFGS-B", bounds=BOUNDS, options={"ftol": 1e-6}).x)

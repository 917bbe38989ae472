"""A shop's buying habit: buy-till-you-die models over `customer_activity` rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from patron.errors import DataError
from patron.models.activity import Numbers, column, cutoffs, filled, remembered
from patron.models.base import DAY, FeatureRows
from patron.models.btyd import BGNBD, MBGNBD, GammaGamma, ParetoNBD

Purchases = ParetoNBD | BGNBD | MBGNBD
KINDS: dict[str, type[Purchases]] = {each.__name__: each for each in (ParetoNBD, BGNBD, MBGNBD)}

WEEK = 7.0

LARGEST_FIT = 10_000
"""Customers that seven parameters are fitted on, drawn at random where there are more."""


@dataclass(frozen=True)
class Buying:
    """Purchase days (several orders of one day are one purchase) and spend a purchase day.

    A part that could not be fitted is None, and what it would tell is NaN.
    """

    purchases: Purchases | None = None
    spend: GammaGamma | None = None

    @classmethod
    def fit(cls, rows: FeatureRows, *, seed: int) -> Self:
        """Fit on the rows of the newest cutoff."""
        known = known_customers(rows)
        newest = np.flatnonzero(known & (cutoffs(rows) == cutoffs(rows).max(initial=-1)))
        drawn = np.random.default_rng(seed).permutation(newest)[:LARGEST_FIT]
        x, t_x, T, mean = (each[drawn] for each in summaries(rows))
        return cls(fitted_purchases(x, t_x, T), fitted_spend(x, mean))

    @remembered
    def orders(self, rows: FeatureRows, horizon_days: float) -> Numbers:
        """Expected purchase days within the horizon, shape (customers,)."""
        return self._ask("expected_purchases", rows, horizon_days)

    def active(self, rows: FeatureRows, horizon_days: float) -> Numbers:
        """P(at least one purchase within the horizon), shape (customers,)."""
        return self._ask("probability_of_purchase", rows, horizon_days)

    @remembered
    def value(self, rows: FeatureRows) -> Numbers:
        """Expected spend of one purchase day, shape (customers,)."""
        x, _, _, mean = self.summaries(rows)
        if self.spend is None:
            return np.full(len(x), np.nan)
        return np.where(known_customers(rows), self.spend.expected_spend(x, mean), np.nan)

    @remembered
    def summaries(self, rows: FeatureRows) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        return summaries(rows)

    @remembered
    def alive(self, rows: FeatureRows) -> Numbers:
        """P(still a customer), shape (customers,), where purchases were fitted."""
        assert self.purchases is not None
        return self.purchases.probability_alive(*self.summaries(rows)[:3])

    def _ask(self, question: str, rows: FeatureRows, horizon_days: float) -> Numbers:
        x, t_x, T, _ = self.summaries(rows)
        if self.purchases is None or not len(x):
            return np.full(len(x), np.nan)
        answer = getattr(self.purchases, question)(horizon_days / WEEK, x, t_x, T, self.alive(rows))
        return np.where(known_customers(rows), answer, np.nan)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "purchases": self.purchases and [type(self.purchases).__name__, self.purchases.document()],
            "spend": self.spend and self.spend.document(),
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        purchases, spend = document["purchases"], document["spend"]
        return cls(
            KINDS[purchases[0]].of(purchases[1]) if purchases else None,
            GammaGamma.of(spend) if spend else None,
        )


def summaries(rows: FeatureRows) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """x, t_x, T (weeks, whole days apart from T) and the mean repeat spend; customers without an order: 0."""
    first, last = (np.floor(column(rows, f"{which}_order_at") / DAY) for which in ("first", "last"))
    x = np.maximum(filled(column(rows, "purchase_days")) - 1, 0)
    t_x = np.where(x > 0, np.maximum(filled(last - first), 0), 0) / WEEK
    return (
        x,
        t_x,
        np.maximum(filled(column(rows, "tenure_days")) / WEEK, t_x),
        column(rows, "repeat_spend_mean"),
    )


def known_customers(rows: FeatureRows) -> Any:
    """Whether each row has an order."""
    return (column(rows, "purchase_days") > 0) & ~np.isnan(column(rows, "tenure_days"))


def fitted_purchases(x: Numbers, t_x: Numbers, T: Numbers) -> Purchases | None:
    """Pareto/NBD; where it has no optimum the likelier of BG/NBD and the modified one, else None."""
    for families in ((ParetoNBD,), (BGNBD, MBGNBD)):
        found = [each for family in families if (each := attempted(family, x, t_x, T))]
        if found:
            return max(found, key=lambda each: each.log_likelihood)
    return None


def attempted(family: type[Purchases], x: Numbers, t_x: Numbers, T: Numbers) -> Purchases | None:
    try:
        return family.fit(x, t_x, T)
    except DataError:
        return None


def fitted_spend(x: Numbers, mean: Numbers) -> GammaGamma | None:
    try:
        return GammaGamma.fit(x, mean)
    except DataError:
        return None

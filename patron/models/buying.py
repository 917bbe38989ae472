"""A shop's buying habit: buy-till-you-die models over `customer_activity` rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite, nan
from typing import Any, Self

import numpy as np

from patron.errors import DataError
from patron.models.activity import Numbers, One, column, cutoffs, filled, remembered
from patron.models.base import DAY, FeatureRows
from patron.models.btyd import BGNBD, MBGNBD, GammaGamma, ParetoNBD

Purchases = ParetoNBD | BGNBD | MBGNBD
KINDS: dict[str, type[Purchases]] = {each.__name__: each for each in (ParetoNBD, BGNBD, MBGNBD)}

WEEK = 7.0

ALIKE = 50.0
"""Parameter of the modified BG/NBD from which on customers hardly differ in their chance to leave."""

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
    def fit(cls, rows: FeatureRows, *, seed: int, orders_only: bool = False) -> Self:
        """Fit on the rows of the newest cutoff.

        orders_only: purchases alone, where it can be by the modified BG/NBD, whose expectation has a closed
        form: a sixth of the time of Pareto/NBD for one customer.
        """
        known = known_customers(rows)
        newest = np.flatnonzero(known & (cutoffs(rows) == cutoffs(rows).max(initial=-1)))
        drawn = np.random.default_rng(seed).permutation(newest)[:LARGEST_FIT]
        x, t_x, T, mean = (each[drawn] for each in summaries(rows))
        if orders_only:
            return cls(closed_form(x, t_x, T) or fitted_purchases(x, t_x, T))
        return cls(fitted_purchases(x, t_x, T), fitted_spend(x, mean))

    @remembered
    def orders(self, rows: FeatureRows, horizon_days: float) -> Numbers:
        """Expected purchase days within the horizon, shape (customers,)."""
        return self._ask("expected_purchases", rows, horizon_days)

    def orders_of_one(self, customer: One, horizon_days: float) -> float:
        """`orders` of one customer, to the last bit."""
        if self.purchases is None or not known_customers(customer):
            return nan
        x = max(customer["purchase_days"] - 1, 0.0)
        first, last = customer["first_order_at"] / DAY, customer["last_order_at"] / DAY
        t_x = max(floor(last) - floor(first), 0) / WEEK if x > 0 and first == first and last == last else 0.0
        summary = (np.array([each]) for each in (x, t_x, max(customer["tenure_days"] / WEEK, t_x)))
        with np.errstate(invalid="ignore", over="ignore"):
            found = float(self.purchases.expected_purchases(horizon_days / WEEK, *summary)[0])
        return found if isfinite(found) else nan

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
        with np.errstate(invalid="ignore", over="ignore"):
            answer = getattr(self.purchases, question)(horizon_days / WEEK, x, t_x, T, self.alive(rows))
        return np.where(known_customers(rows) & np.isfinite(answer), answer, np.nan)

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


def known_customers(rows: FeatureRows | One) -> Any:
    """Whether each row has an order."""
    tenure = column(rows, "tenure_days")
    return (column(rows, "purchase_days") > 0) & (tenure == tenure)


def fitted_purchases(x: Numbers, t_x: Numbers, T: Numbers) -> Purchases | None:
    """Pareto/NBD; where it has no optimum the likelier of BG/NBD and the modified one, else None."""
    for families in ((ParetoNBD,), (BGNBD, MBGNBD)):
        found = [each for family in families if (each := attempted(family, x, t_x, T))]
        if found:
            return max(found, key=lambda each: each.log_likelihood)
    return None


def closed_form(x: Numbers, t_x: Numbers, T: Numbers) -> MBGNBD | None:
    """The modified BG/NBD. None where all customers are let go alike: its expectation then overflows."""
    found = attempted(MBGNBD, x, t_x, T)
    return found if isinstance(found, MBGNBD) and found.a < ALIKE else None


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

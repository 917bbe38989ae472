"""What one more order brings, and how probably an offer is taken up, of each customer, not of a segment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import Numbers, column, ratio
from patron.models.base import FeatureRows
from patron.models.offer_log import OfferLog

CREDIBILITY = 3.0
"""Purchase days after which a customer's own mean order value counts half."""
LEAST_ORDERS = 20
"""With an offer, below which whoever orders is taken to use it."""


@dataclass(frozen=True)
class OrderValues:
    """usual: segment -> mean order value of those who ordered, "" of all. taken: offer -> times it was taken
    up for each customer who ordered after it was shown."""

    usual: dict[str, float] = field(default_factory=dict)
    taken: dict[str, float] = field(default_factory=dict)

    @classmethod
    def fit(cls, log: OfferLog, segment: NDArray[np.str_]) -> Self:
        bought = log.ordered > 0
        value = column(log.rows, "mean_order_value")
        usual = {"": mean(value[bought])}
        usual |= {
            str(each): mean(value[bought & (segment == each)], usual[""]) for each in np.unique(segment)
        }
        known = ~np.isnan(log.converted)
        taken = {}
        for each in np.unique(log.offer_id).tolist():
            rows = known & (log.offer_id == each)
            if log.ordered[rows].sum() >= LEAST_ORDERS:
                taken[str(each)] = float(log.converted[rows].sum() / log.ordered[rows].sum())
        return cls({name: each for name, each in usual.items() if not np.isnan(each)}, taken)

    def relative(self, rows: FeatureRows, segments: NDArray[np.str_]) -> Numbers:
        """The customer's mean order value over the usual one of the segment, shrunk to 1; shape (customers,).

        1 where nothing is known. Source of the shrinkage: Buehlmann 1967 (credibility).
        """
        usual = np.array([self.usual.get(str(each), self.usual.get("", np.nan)) for each in segments])
        days = np.nan_to_num(column(rows, "purchase_days"))
        own = ratio(column(rows, "mean_order_value"), usual)
        return np.where(np.isnan(own), 1.0, 1 + days / (days + CREDIBILITY) * (own - 1))

    def uptake(self, offer_id: str, ordering: Numbers) -> Numbers:
        """P(taken up | shown) of customers who order with these probabilities where it is shown."""
        return np.clip(self.taken.get(offer_id, 1.0) * ordering, 0.0, 1.0)


def mean(values: Numbers, otherwise: float = float("nan")) -> float:
    """Of the values that are known."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else otherwise

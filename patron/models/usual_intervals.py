"""How products are bought again: after how long, by what share of their buyers, and how customers differ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import Numbers
from patron.models.base import DAY, Interactions
from patron.models.bought_pairs import summed
from patron.models.catalogue import Catalogue
from patron.models.products import ProductIndex

PRIOR = 10.0
"""Gaps, and buyers, that a category's mean is worth against a product's own, and all against a category's."""


@dataclass(frozen=True)
class UsualIntervals:
    """Arrays of shape (products,); `interval` and `repeat_rate` are what holds for an unknown product."""

    product_ids: NDArray[np.str_]
    intervals: Numbers
    """Mean days between a customer's orders of the product, shrunk to its category's, and that to all."""
    repeat_rates: Numbers
    """Share of its buyers who bought it in more than one order, shrunk alike."""
    interval: float = 30.0
    repeat_rate: float = 0.0
    credibility: float = 4.0
    """Gaps of a customer's own that weigh as much as the product's usual interval."""

    @classmethod
    def fit(cls, interactions: Interactions, catalogue: Catalogue | None = None) -> Self:
        """Learn from purchases of known customers; guests are left out."""
        size = len(interactions.product_ids)
        own = pair_gaps(interactions)
        groups = categories(interactions.product_ids, catalogue)
        intervals, interval = shrunk(
            summed(own.gap_days, own.product, size),
            np.bincount(own.product, minlength=size),
            groups,
            30.0,
        )
        rates, rate = shrunk(
            summed(own.pair_gaps > 0, own.pair_product, size),
            np.bincount(own.pair_product, minlength=size),
            groups,
            0.0,
        )
        strength = credibility(own.gap_days / np.maximum(intervals[own.product], 1e-9), own.pair)
        return cls(interactions.product_ids, np.maximum(intervals, 1.0), rates, interval, rate, strength)

    @cached_property
    def index(self) -> ProductIndex:
        return ProductIndex(self.product_ids)

    def of(self, positions: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
        """(interval, repeat rate) of products by position, -1 for an unknown one."""
        return self._intervals[positions], self._repeat_rates[positions]

    @cached_property
    def _intervals(self) -> Numbers:
        return np.append(self.intervals, self.interval)

    @cached_property
    def _repeat_rates(self) -> Numbers:
        return np.append(self.repeat_rates, self.repeat_rate)

    def expected(self, usual: Numbers, times: Numbers, own: Numbers) -> Numbers:
        """The customer's own interval shrunk to the usual one; >= 1 day.

        own: mean of times - 1 gaps, NaN where bought once. Source: Buehlmann 1967 (credibility).
        """
        gaps = np.where(np.isnan(own), 0.0, times - 1)
        mine = np.where(np.isnan(own), 0.0, own)
        return np.maximum((gaps * mine + self.credibility * usual) / (gaps + self.credibility), 1.0)


@dataclass(frozen=True)
class PairGaps:
    """Times between orders of the same product by the same customer.

    One entry a gap: `gap_days`, `product`, `pair`. One a (customer, product): `pair_product`, `pair_gaps`.
    """

    gap_days: Numbers
    product: NDArray[np.int64]
    pair: NDArray[np.int64]
    pair_product: NDArray[np.int64]
    pair_gaps: NDArray[np.int64]


def pair_gaps(interactions: Interactions) -> PairGaps:
    """The gaps between consecutive orders of each (customer, product), guests left out."""
    known = np.flatnonzero(interactions.customer >= 0)
    customer, product, order, at = (
        getattr(interactions, name)[known] for name in ("customer", "product", "order", "at")
    )
    placed = np.lexsort((order, at, product, customer))
    customer, product, order, at = customer[placed], product[placed], order[placed], at[placed]
    same = (customer[1:] == customer[:-1]) & (product[1:] == product[:-1])
    first = np.append(True, ~same)[: len(placed)]
    pair = np.cumsum(first) - 1
    again = np.flatnonzero(same & (order[1:] != order[:-1])) + 1
    return PairGaps(
        gap_days=(at[again] - at[again - 1]) / DAY,
        product=product[again],
        pair=pair[again],
        pair_product=product[first],
        pair_gaps=np.bincount(pair[again], minlength=int(first.sum())),
    )


def categories(product_ids: NDArray[np.str_], catalogue: Catalogue | None) -> NDArray[np.int64]:
    """A code for each product's category; 0 for all where none is known."""
    if catalogue is None:
        return np.zeros(len(product_ids), dtype=np.int64)
    _, codes = np.unique(catalogue.aligned(product_ids).categories, return_inverse=True)
    return np.asarray(codes, dtype=np.int64)


def shrunk(
    total: Numbers, count: NDArray[Any], groups: NDArray[np.int64], otherwise: float
) -> tuple[Numbers, float]:
    """(mean of each product, mean of all): total / count, shrunk to its group's, which is shrunk to all's."""
    overall = float(total.sum() / count.sum()) if count.sum() else otherwise
    group_total, group_count = np.bincount(groups, total), np.bincount(groups, count)
    group = (group_total + PRIOR * overall) / (group_count + PRIOR)
    return (total + PRIOR * group[groups]) / (count + PRIOR), overall


def credibility(ratios: Numbers, pair: NDArray[np.int64], fewest: int = 50) -> float:
    """Variance within customers over variance between them, of gaps over the product's usual interval.

    Within 0.5..50, and 4 with too few repeated gaps to tell. Source: Buehlmann 1967; Buehlmann & Straub 1970.
    """
    count = np.bincount(pair) if len(pair) else np.zeros(0)
    several = count[pair] > 1 if len(pair) else np.zeros(0, dtype=bool)
    if several.sum() < fewest:
        return 4.0
    _, mine = np.unique(pair[several], return_inverse=True)
    sizes = np.bincount(mine)
    means = np.bincount(mine, ratios[several]) / sizes
    within = float(((ratios[several] - means[mine]) ** 2).sum() / (sizes - 1).sum())
    between = float(np.var(means) - within * np.mean(1 / sizes))
    return float(np.clip(within / between, 0.5, 50.0)) if between > 0 else 50.0

"""What sells lately in the categories that a customer buys from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from patron.models.asked import TINY, Asked, Best, Mask, Positions, Scores
from patron.models.base import DAY, Config, CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from patron.models.popularity import distinct_buyers
from patron.models.products import (
    ProductIndex,
    best_first,
    lowest_of,
    read_arrays,
    read_config,
    stretches,
    write_arrays,
)

HEAD = 8
"""Products of each category that are looked at before it is known how many more are needed."""


class CategoryPopularityConfig(Config):
    window_days: int = 28
    """Purchases of this many days before the cutoff count."""
    half_life_days: float = 60.0
    """A product last bought this long ago counts half in the customer's shares; 0: all count alike."""


class CategoryPopularity(Recommender):
    """Share of the category in the history, times the product's share of the category's buyers.

    Reads as a chance: the customer picks a category as before, then a product of it as everybody does.
    Products without a category, and customers without a history, get 0.
    """

    Config = CategoryPopularityConfig

    def __init__(self, config: CategoryPopularityConfig | None = None) -> None:
        self.config = config or CategoryPopularityConfig()
        self.product_ids: NDArray[np.str_] = np.zeros(0, dtype="U1")
        self.categories: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.shares: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

    @cached_property
    def index(self) -> ProductIndex:
        return ProductIndex(self.product_ids)

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Count buyers within categories. `seed` and `threads` are not needed."""
        self.product_ids = interactions.product_ids
        for cached in ("index", "shelves"):
            self.__dict__.pop(cached, None)
        self.categories = category_codes(catalogue or Catalogue.of(self.product_ids))
        recent = interactions.at >= interactions.as_of - self.config.window_days * DAY
        buyers = distinct_buyers(interactions, recent).astype(np.float64)
        totals = self._by_category(self.categories, buyers)
        mine = totals[self.categories]
        self.shares = np.divide(buyers, mine, out=np.zeros(len(buyers)), where=mine > 0).astype(np.float32)

    def _by_category(self, codes: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of `values` for each category; the last entry, of products without one (code -1), is 0."""
        size = int(self.categories.max(initial=-1)) + 1
        known = codes >= 0
        return np.bincount(codes[known], values[known], minlength=size + 1).astype(np.float64)

    def scores(self, history: CustomerHistory) -> NDArray[np.float32]:
        """Sums to 1 at most."""
        return self._liking(history)[self.categories] * self.shares

    def asked(self, history: CustomerHistory) -> Asked:
        return _ByCategory(self, self._liking(history))

    def _liking(self, history: CustomerHistory) -> NDArray[np.float32]:
        """Share of each category in the history; the last entry, of products without one, is 0."""
        positions = self.index.positions(history.product_ids)
        known = positions >= 0
        weights = ((1 + history.log_times) * history.decayed(self.config.half_life_days))[known]
        mine = self._by_category(self.categories[positions[known]], weights)
        return (mine / (mine.sum() or 1.0)).astype(np.float32)

    @cached_property
    def shelves(self) -> Shelves:
        return Shelves.of(self.categories, self.shares)

    def save(self, folder: Path) -> None:
        write_arrays(
            folder,
            self.config,
            product_ids=self.product_ids,
            categories=self.categories,
            shares=self.shares,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(read_config(folder, CategoryPopularityConfig))
        stored = read_arrays(folder)
        model.product_ids, model.categories = stored["product_ids"], stored["categories"]
        model.shares = stored["shares"]
        return model


@dataclass(frozen=True)
class Shelves:
    """Products with a share by category, the largest first.

    order: positions of products. starts: where each category begins, and the last one ends. heads: shape
    (categories, HEAD), the first products of each, and `shares` theirs, 0 where there are no more.
    """

    order: Positions
    starts: NDArray[np.int64]
    heads: Positions
    shares: Scores

    @classmethod
    def of(cls, categories: NDArray[np.int64], shares: Scores) -> Self:
        sold = np.flatnonzero((categories >= 0) & (shares > 0))
        order = sold[np.lexsort((sold, -shares[sold], categories[sold]))]
        starts = np.searchsorted(categories[order], np.arange(int(categories.max(initial=-1)) + 2))
        place = starts[:-1, None] + np.arange(HEAD)
        there = place < starts[1:, None]
        heads = order[np.where(there, place, 0)] if len(order) else np.zeros_like(place)
        found = np.where(there, shares[heads], np.float32(0)) if len(order) else np.zeros(place.shape)
        return cls(order, starts, heads, found.astype(np.float32))


class _ByCategory(Asked):
    """The best of each category that the customer buys from are enough for the best of all."""

    def __init__(self, model: CategoryPopularity, liking: Scores) -> None:
        self.model, self.liking = model, liking

    def best(self, depth: int, allowed: Mask) -> Best:
        """Goes on only in categories whose next product could still be among the best."""
        shelves = self.model.shelves
        scores = self.liking[:-1, None] * shelves.shares
        row, column = np.nonzero((scores > 0) & allowed[shelves.heads])
        found, told = shelves.heads[row, column], scores[row, column]
        last = scores[:, -1]
        more = np.flatnonzero((last > 0) & (last >= lowest_of(told, depth)))
        beside = shelves.order[stretches(shelves.starts[more] + HEAD, shelves.starts[more + 1])]
        beside = beside[allowed[beside]]
        their = self.at(beside)
        found, told = np.concatenate([found, beside]), np.concatenate([told, their])
        kept = np.flatnonzero(told >= max(lowest_of(told, depth), TINY))
        return best_first(found[kept], told[kept], depth)

    def at(self, positions: Positions) -> Scores:
        return self.liking[self.model.categories[positions]] * self.model.shares[positions]


def category_codes(catalogue: Catalogue) -> NDArray[np.int64]:
    """Number of each product's category, -1 for none; shape (n_products,)."""
    codes = np.full(len(catalogue), -1, dtype=np.int64)
    known = catalogue.categories != ""
    codes[known] = np.unique(catalogue.categories[known], return_inverse=True)[1]
    return codes

"""What sells lately among customers of the same region and tier."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patron.models.base import DAY, Config, CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from patron.models.popularity import distinct_buyers
from patron.models.products import read_arrays, read_config, write_arrays


class RegionalPopularityConfig(Config):
    window_days: int = 28
    """Purchases of this many days before the cutoff count."""
    prior_customers: float = 100.0
    """Customers of the whole shop that a group is mixed with: few of its own say little."""
    min_customers: int = 10
    """A group with fewer customers in the window speaks as the one above it: its purchases are theirs."""


class RegionalPopularity(Recommender):
    """Share of a group's customers who bought the product, smoothed by the group above it.

    With b buyers among the n customers of a group who bought anything in the window, and k prior customers
    who buy as the group above does: (b + k * share above) / (n + k). A region stands on the shop, a tier
    within a region on the region (additive smoothing with a mean, as in Jelinek & Mercer 1980). 0 where the
    region is unknown, so that plain popularity answers there.
    """

    Config = RegionalPopularityConfig

    def __init__(self, config: RegionalPopularityConfig | None = None) -> None:
        self.config = config or RegionalPopularityConfig()
        self.product_ids: NDArray[np.str_] = np.zeros(0, dtype="U1")
        self.shop: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self.groups: NDArray[np.str_] = np.zeros((0, 2), dtype="U1")
        self.customers: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.buyers = sparse.csr_matrix((0, 0), dtype=np.int64)

    @cached_property
    def _rows(self) -> dict[tuple[str, str], int]:
        return {(region, tier): row for row, (region, tier) in enumerate(self.groups.tolist())}

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Count buyers in each region, and in each tier of it. `seed` and `threads` are not needed."""
        self.product_ids = interactions.product_ids
        self.__dict__.pop("_rows", None)
        recent = interactions.at >= interactions.as_of - self.config.window_days * DAY
        guests = np.unique(interactions.order[recent & (interactions.customer < 0)])
        active = np.unique(interactions.customer[recent & (interactions.customer >= 0)])
        buyers = distinct_buyers(interactions, recent)
        self.shop = (buyers / max(len(active) + len(guests), 1)).astype(np.float32)
        self._count_groups(interactions, recent, active)

    def _count_groups(
        self, interactions: Interactions, recent: NDArray[np.bool_], active: NDArray[np.int64]
    ) -> None:
        """Buyers of each product in every group of enough customers; a region's own group has tier ""."""
        members, self.groups = _members(interactions, active)
        counted = members[active].sum(axis=0)
        enough = np.flatnonzero(np.asarray(counted).ravel() >= self.config.min_customers)
        known = recent & (interactions.customer >= 0)
        shape = (members.shape[0], len(self.product_ids))
        cells = (interactions.customer[known], interactions.product[known])
        bought = sparse.csr_matrix((np.ones(known.sum(), dtype=np.int64), cells), shape=shape)
        bought.data[:] = 1  # a product twice is still one buyer
        self.groups, self.customers = self.groups[enough], np.asarray(counted).ravel()[enough]
        self.buyers = (members[:, enough].T @ bought).tocsr()

    def scores(self, history: CustomerHistory) -> NDArray[np.float32]:
        """Estimated share of the customer's group who bought each product in the window, 0..1."""
        if not history.region:
            return np.zeros(len(self.product_ids), dtype=np.float32)
        shares = self._smoothed(self.shop.copy(), history.region, "")
        return self._smoothed(shares, history.region, history.tier) if history.tier else shares

    def _smoothed(self, above: NDArray[np.float32], region: str, tier: str) -> NDArray[np.float32]:
        row = self._rows.get((region, tier))
        if row is None:
            return above
        cells = slice(self.buyers.indptr[row], self.buyers.indptr[row + 1])
        above *= self.config.prior_customers
        above[self.buyers.indices[cells]] += self.buyers.data[cells]
        above /= self.customers[row] + self.config.prior_customers
        return above

    def save(self, folder: Path) -> None:
        write_arrays(
            folder,
            self.config,
            product_ids=self.product_ids,
            shop=self.shop,
            groups=self.groups,
            customers=self.customers,
            starts=self.buyers.indptr,
            columns=self.buyers.indices,
            counts=self.buyers.data,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(read_config(folder, RegionalPopularityConfig))
        stored = read_arrays(folder)
        model.product_ids, model.shop = stored["product_ids"], stored["shop"]
        model.groups, model.customers = stored["groups"], stored["customers"]
        model.buyers = sparse.csr_matrix(
            (stored["counts"], stored["columns"], stored["starts"]),
            shape=(len(model.groups), len(model.product_ids)),
        )
        return model


def _members(
    interactions: Interactions, active: NDArray[np.int64]
) -> tuple[sparse.csr_matrix, NDArray[np.str_]]:
    """Customer x group, 1 where the customer belongs; and each group's (region, tier)."""
    size = int(interactions.customer.max(initial=-1)) + 1
    regions, tiers = interactions.regions, interactions.tiers
    if regions is None or size == 0:
        return sparse.csr_matrix((size, 0), dtype=np.int64), np.zeros((0, 2), dtype="U1")
    tiers = np.full(len(regions), "") if tiers is None else tiers
    placed = active[regions[active] != ""]
    tiered = placed[tiers[placed] != ""]
    who = np.concatenate([placed, tiered])
    pairs = np.stack([regions[who], np.concatenate([np.full(len(placed), ""), tiers[tiered]])], axis=1)
    groups, code = np.unique(pairs, axis=0, return_inverse=True)
    ones = np.ones(len(who), dtype=np.int64)
    return sparse.csr_matrix((ones, (who, code.ravel())), shape=(size, len(groups))), groups

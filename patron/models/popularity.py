"""What most customers bought lately: the honest baseline, and the last resort of every answer."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from patron.models.asked import Asked, Ordered
from patron.models.base import DAY, Config, CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from patron.models.products import read_arrays, read_config, top, write_arrays


class PopularityConfig(Config):
    window_days: int = 28
    """Purchases of this many days before the cutoff count."""


class Popularity(Recommender):
    """Distinct buyers in the window. Equal ones follow their buyers of all time, then product order."""

    Config = PopularityConfig

    def __init__(self, config: PopularityConfig | None = None) -> None:
        self.config = config or PopularityConfig()
        self.product_ids: NDArray[np.str_] = np.zeros(0, dtype="U1")
        self.buyers: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.buyers_ever: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Count buyers; a guest's order counts as a buyer of its own. `seed` and `threads` are not needed."""
        self.product_ids = interactions.product_ids
        recent = interactions.at >= interactions.as_of - self.config.window_days * DAY
        self.buyers = distinct_buyers(interactions, recent)
        self.buyers_ever = distinct_buyers(interactions, np.ones_like(recent))
        for cached in ("_scores", "order", "_asked"):
            self.__dict__.pop(cached, None)

    def scores(self, history: CustomerHistory) -> NDArray[np.float32]:
        """The same for everybody. The whole part is the number of buyers, the fraction only breaks ties."""
        return self._scores.copy()

    def asked(self, history: CustomerHistory) -> Asked:
        return self._asked

    @cached_property
    def _asked(self) -> Asked:
        sold = int((self._scores > 0).sum())
        return Ordered(self.order[:sold], self._scores)

    @cached_property
    def _scores(self) -> NDArray[np.float32]:
        fraction = self.buyers_ever / (self.buyers_ever.max(initial=0) + 1)
        return (self.buyers + fraction).astype(np.float32)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Every product, most popular first; those never sold come last."""
        sold = top(self._scores, len(self._scores))
        return np.concatenate([sold, np.flatnonzero(self._scores <= 0)])

    def save(self, folder: Path) -> None:
        write_arrays(
            folder,
            self.config,
            product_ids=self.product_ids,
            buyers=self.buyers,
            buyers_ever=self.buyers_ever,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(read_config(folder, PopularityConfig))
        stored = read_arrays(folder)
        model.product_ids, model.buyers = stored["product_ids"], stored["buyers"]
        model.buyers_ever = stored["buyers_ever"]
        return model


def distinct_buyers(interactions: Interactions, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many customers bought each product in the `chosen` lines; each order of a guest is a customer."""
    customer, order = interactions.customer[chosen], interactions.order[chosen]
    # Guests have no number: their orders take numbers below zero, which no customer has.
    buyer = np.where(customer >= 0, customer, -1 - order)
    buyer -= buyer.min(initial=0)
    span = int(buyer.max(initial=0)) + 1
    products = np.unique(interactions.product[chosen] * span + buyer) // span
    return np.bincount(products, minlength=len(interactions.product_ids)).astype(np.int64)

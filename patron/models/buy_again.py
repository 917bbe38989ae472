"""What a customer is likely to buy again: how often it was bought, how lately, and whether it is due."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from patron.models.asked import Asked, Few
from patron.models.base import DAY, Config, CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from patron.models.products import ProductIndex, read_arrays, read_config, write_arrays


class BuyAgainConfig(Config):
    count_exponent: float = 1.5
    """Power of the times bought."""
    half_life_days: float = 60.0
    """A product last bought this long ago counts half."""
    due_weight: float = 0.3
    """How much being due adds: 0 ignores the interval, 1 doubles the score of what is just due."""
    due_width: float = 1.0
    """Spread of 'due' around the interval, in natural-log units of days_since / interval."""
    interval_prior: float = 4.0
    """Purchases that the product's usual interval is worth against the customer's own."""


class BuyAgain(Recommender):
    """Scores only what the history holds: times_bought^a * 2^(-days / half-life) * (1 + b * due)."""

    Config = BuyAgainConfig

    def __init__(self, config: BuyAgainConfig | None = None) -> None:
        self.config = config or BuyAgainConfig()
        self.product_ids: NDArray[np.str_] = np.zeros(0, dtype="U1")
        self.intervals: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

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
        """Learn each product's usual interval in days. `seed` and `threads` are not needed."""
        self.product_ids = interactions.product_ids
        self.__dict__.pop("index", None)
        self.intervals = _usual_intervals(interactions)

    def scores(self, history: CustomerHistory) -> NDArray[np.float32]:
        """0 for everything that was never bought."""
        scores = np.zeros(len(self.product_ids), dtype=np.float32)
        positions = self.index.positions(history.product_ids)
        known = positions >= 0
        scores[positions[known]] = self.strength(history, positions)[known]
        return scores

    def asked(self, history: CustomerHistory) -> Asked:
        positions = self.index.positions(history.product_ids)
        own = np.argsort(positions)
        own = own[positions[own] >= 0]
        return Few(positions[own], self.strength(history, positions)[own].astype(np.float32))

    def strength(self, history: CustomerHistory, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Score of each product of the history, shape (len(history),). positions: -1 where unknown."""
        days = np.maximum(history.days_since, 0.0)
        counts = np.maximum(history.times_bought, 1).astype(np.float64)
        lately = np.exp2(-days / self.config.half_life_days)
        due = np.log(np.maximum(days, 0.5) / self.interval_days(history, positions)) / self.config.due_width
        return (
            counts**self.config.count_exponent * lately * (1 + self.config.due_weight * np.exp(-0.5 * due**2))
        )

    def interval_days(self, history: CustomerHistory, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """The customer's own interval, shrunk to the product's usual one; >= 1."""
        usual = np.where(positions >= 0, self.intervals[positions], np.nan) if len(self.intervals) else np.nan
        usual = np.where(np.isfinite(usual), usual, self.config.half_life_days)
        gaps = np.where(np.isfinite(history.interval_days), np.maximum(history.times_bought - 1, 0), 0)
        own = np.where(gaps > 0, np.nan_to_num(history.interval_days), 0.0)
        prior = self.config.interval_prior
        return np.maximum((own * gaps + usual * prior) / np.maximum(gaps + prior, 1e-9), 1.0)

    def save(self, folder: Path) -> None:
        write_arrays(folder, self.config, product_ids=self.product_ids, intervals=self.intervals)

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(read_config(folder, BuyAgainConfig))
        stored = read_arrays(folder)
        model.product_ids, model.intervals = stored["product_ids"], stored["intervals"]
        return model


def _usual_intervals(interactions: Interactions) -> NDArray[np.float32]:
    """Mean days between a customer's orders of each product, shape (n_products,); unseen: that of all."""
    known = interactions.customer >= 0
    keys = (interactions.at[known], interactions.order[known], interactions.product[known])
    customer = interactions.customer[known]
    order = np.lexsort((*keys[:2], keys[2], customer))
    at, order_code, product = (each[order] for each in keys)
    customer = customer[order]
    same = (customer[1:] == customer[:-1]) & (product[1:] == product[:-1])
    again = same & (order_code[1:] != order_code[:-1])
    gaps = (at[1:] - at[:-1])[again] / DAY
    size = len(interactions.product_ids)
    total = np.bincount(product[1:][again], gaps, minlength=size)
    seen = np.bincount(product[1:][again], minlength=size)
    overall = gaps.mean() if len(gaps) else np.nan
    # Ten gaps' worth of the overall mean keep a single odd repeat from standing for a product.
    return ((total + 10 * overall) / (seen + 10)).astype(np.float32)

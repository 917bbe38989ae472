"""What a customer is likely to buy again: how often it was bought, how lately, and whether it is due."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from patron.models.asked import Asked, Few
from patron.models.base import Config, CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from patron.models.products import ProductIndex, read_arrays, read_config, write_arrays
from patron.models.usual_intervals import UsualIntervals

LEAST = 0.001
"""No product is bought again by none or by all of its buyers."""
LOG_2 = float(np.log(2))


class BuyAgainConfig(Config):
    count_exponent: float = 1.5
    """Power of the times bought."""
    lately_exponent: float = 0.8
    """Power of 1 + the times bought in the last 91 days."""
    repeat_exponent: float = 0.5
    """Power of the odds that a buyer of the product buys it again."""
    half_life_days: float = 60.0
    """A product last bought this long ago counts half."""
    due_weight: float = 0.3
    """How much being due adds: 0 ignores the interval, 1 doubles the score of what is just due."""
    due_width: float = 1.0
    """Spread of 'due' around the interval, in natural-log units of days_since / interval."""
    interval_prior: float = 4.0
    """Purchases that the product's usual interval is worth against the customer's own."""


class BuyAgain(Recommender):
    """Scores only what the history holds, by the customer's habit and by how products are bought again.

    times^a * (1 + times of 91 days)^c * odds of a repeat^r * 2^(-days / half-life) * (1 + b * due).
    """

    Config = BuyAgainConfig

    def __init__(self, config: BuyAgainConfig | None = None) -> None:
        self.config = config or BuyAgainConfig()
        self.product_ids: NDArray[np.str_] = np.zeros(0, dtype="U1")
        self.intervals: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self.repeat_rates: NDArray[np.float32] = np.zeros(0, dtype=np.float32)

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
        """Learn each product's usual interval in days and repeat rate. `seed`, `threads` are not needed."""
        self.product_ids = interactions.product_ids
        for name in ("index", "log_odds"):
            self.__dict__.pop(name, None)
        usual = UsualIntervals.fit(interactions)
        nothing = usual.repeat_rate == 0  # no gap was seen
        self.intervals = np.where(nothing, np.nan, usual.intervals).astype(np.float32)
        self.repeat_rates = usual.repeat_rates.astype(np.float32)

    @cached_property
    def log_odds(self) -> NDArray[np.float64]:
        """Logarithm of the odds of a repeat, to the configured power; shape (n_products,)."""
        rates = np.clip(self.repeat_rates.astype(np.float64), LEAST, 1 - LEAST)
        return self.config.repeat_exponent * np.log(rates / (1 - rates))

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
        lately = days <= 91 if history.times_91d is None else history.times_91d
        habit = self.config.count_exponent * history.log_times
        habit += self.config.lately_exponent * np.log1p(lately)
        if len(self.log_odds):
            habit += self.log_odds[positions]
        habit -= LOG_2 / self.config.half_life_days * days
        due = np.log(np.maximum(days, 0.5) / self.interval_days(history, positions)) / self.config.due_width
        return np.exp(habit) * (1 + self.config.due_weight * np.exp(-0.5 * due**2))

    def interval_days(self, history: CustomerHistory, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """The customer's own interval, shrunk to the product's usual one; >= 1."""
        usual = np.where(positions >= 0, self.intervals[positions], np.nan) if len(self.intervals) else np.nan
        usual = np.where(np.isfinite(usual), usual, self.config.half_life_days)
        gaps = np.where(np.isfinite(history.interval_days), np.maximum(history.times_bought - 1, 0), 0)
        own = np.where(gaps > 0, np.nan_to_num(history.interval_days), 0.0)
        prior = self.config.interval_prior
        return np.maximum((own * gaps + usual * prior) / np.maximum(gaps + prior, 1e-9), 1.0)

    def save(self, folder: Path) -> None:
        write_arrays(
            folder,
            self.config,
            product_ids=self.product_ids,
            intervals=self.intervals,
            repeat_rates=self.repeat_rates,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(read_config(folder, BuyAgainConfig))
        stored = read_arrays(folder)
        model.product_ids, model.intervals = stored["product_ids"], stored["intervals"]
        model.repeat_rates = stored.get(
            "repeat_rates", np.full(len(model.product_ids), 0.5, dtype=np.float32)
        )
        return model

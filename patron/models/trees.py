"""Gradient boosted trees by LightGBM, kept as text and read by one thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import Numbers
from patron.models.base import Config

if TYPE_CHECKING:
    import lightgbm


class TreesConfig(Config):
    """Settings for tables of hundreds of customers to millions; LightGBM's defaults overfit the small."""

    learning_rate: float = 0.03
    trees: int = 200
    leaves: int = 8
    min_leaf_customers: int = 20
    """A leaf holds at least so many rows..."""
    min_leaf_share: float = 0.005
    """...and at least this share of all of them."""
    feature_fraction: float = 0.3
    """Share of the inputs that each tree may use."""
    regularization: float = 5.0
    """L2 penalty on leaf values."""


class Trees:
    """A fitted booster. `raw` is in the link's units: log-odds, or log of the mean."""

    def __init__(self, booster: lightgbm.Booster):
        self.booster = booster

    @classmethod
    def fit(
        cls,
        names: tuple[str, ...],
        inputs: Numbers,
        outcome: Numbers,
        config: TreesConfig,
        *,
        seed: int,
        threads: int,
        group: Sequence[int] | None = None,
        **objective: Any,
    ) -> Self:
        """Grow `config.trees` trees; the same seed and thread count give the same text.

        group: how many successive rows belong together, for objectives that order rows within a group.
        """
        import lightgbm

        parameters = {
            "learning_rate": config.learning_rate,
            "num_leaves": config.leaves,
            "min_data_in_leaf": max(config.min_leaf_customers, int(config.min_leaf_share * len(outcome))),
            "feature_fraction": config.feature_fraction,
            "lambda_l2": config.regularization,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": threads,
            "seed": seed,
            "verbosity": -1,
            **objective,
        }
        data = lightgbm.Dataset(
            inputs, label=outcome, group=group, feature_name=list(names), params={"verbosity": -1}
        )
        return cls(lightgbm.train(parameters, data, num_boost_round=config.trees))

    def raw(self, inputs: NDArray[np.floating]) -> Numbers:
        """Sum of the leaves, shape (customers,)."""
        if not len(inputs):
            return np.zeros(0)
        return np.asarray(self.booster.predict(inputs, raw_score=True, num_threads=1), dtype=np.float64)

    def contributions(self, inputs: Numbers) -> Numbers:
        """TreeSHAP of each input on `raw`, shape (customers, inputs). Source: Lundberg et al. 2020."""
        if not len(inputs):
            return np.zeros(inputs.shape)
        return np.asarray(self.booster.predict(inputs, pred_contrib=True, num_threads=1))[:, :-1]

    def save(self, path: Path) -> None:
        """As LightGBM's text."""
        path.write_text(self.booster.model_to_string(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote."""
        import lightgbm

        return cls(lightgbm.Booster(model_str=path.read_text(encoding="utf-8")))

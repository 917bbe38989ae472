"""Gradient boosted trees: fitted by LightGBM, kept as its text, read without importing it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import Numbers
from patron.models.base import Config
from patron.models.native_trees import CONTRIBUTIONS, NativeTrees
from patron.models.tree_shap import ShapTable

if TYPE_CHECKING:
    import lightgbm

MANY = 1024
"""From so many rows on a table of the decisions answers sooner than LightGBM; the bits are the same."""


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
    """Fitted trees, as LightGBM's text. `raw` is in the link's units: log-odds, or log of the mean."""

    def __init__(self, text: str):
        self.text = text

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
        start: Numbers | None = None,
        **objective: Any,
    ) -> Self:
        """Grow `config.trees` trees; the same seed and thread count give the same text.

        group: how many successive rows belong together, for objectives that order rows within a group.
        start: what the trees add to, for each row, in the link's units; `raw` does not hold it.
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
            inputs,
            label=outcome,
            group=group,
            init_score=start,
            feature_name=list(names),
            params={"verbosity": -1},
        )
        return cls(lightgbm.train(parameters, data, num_boost_round=config.trees).model_to_string())

    @cached_property
    def inputs(self) -> int:
        """How many inputs a row has."""
        return int(self.text.split("max_feature_idx=", 1)[1].split("\n", 1)[0]) + 1

    @cached_property
    def native(self) -> NativeTrees:
        return NativeTrees(self.text, self.inputs)

    @cached_property
    def shap(self) -> ShapTable | None:
        return ShapTable.of(self.text, self.inputs)

    @property
    def booster(self) -> lightgbm.Booster:
        """As LightGBM's own class, made anew."""
        import lightgbm

        return lightgbm.Booster(model_str=self.text)

    def raw(self, inputs: NDArray[np.floating]) -> Numbers:
        """Sum of the leaves, shape (customers,)."""
        if not len(inputs):
            return np.zeros(0)
        if len(inputs) == 1:
            row = inputs[0]
            return np.array([self.shap.one(row)[0] if self.shap else self.native.one(row.tolist())])
        if self.shap and len(inputs) >= MANY and inputs.shape[1] == self.inputs:
            return self.shap.raw(inputs)
        return self.native.predict(inputs)

    def explained(self, inputs: Numbers) -> tuple[float, Numbers]:
        """(`raw`, `contributions`) of one row of shape (inputs,), faster than asking for each."""
        if self.shap is None:
            return self.native.one(inputs.tolist()), self.contributions(inputs[None])[0]
        return self.shap.one(inputs)

    def contributions(self, inputs: Numbers) -> Numbers:
        """TreeSHAP of each input on `raw`, shape (customers, inputs). Source: Lundberg et al. 2020."""
        if not len(inputs):
            return np.zeros(inputs.shape)
        if self.shap is None:
            return self.native.predict(inputs, CONTRIBUTIONS)[:, :-1]
        return self.shap.contributions(inputs)

    def ready(self) -> Self:
        """Make now what is otherwise made when it is first asked."""
        _ = self.native, self.shap
        return self

    def save(self, path: Path) -> None:
        """As LightGBM's text."""
        path.write_text(self.text, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote."""
        return cls(path.read_text(encoding="utf-8"))

    def __reduce__(self) -> tuple[type[Trees], tuple[str]]:
        """A copy shares nothing but the text."""
        return type(self), (self.text,)

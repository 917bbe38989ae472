"""The ranker: gradient boosted trees that order the candidates of all sources for one customer.

Source: LambdaMART, Burges 2010; candidates first and one LightGBM on top, as won the H&M and OTTO contests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError
from patron.models.forest import Forest
from patron.models.ranking_features import Columns, matrix
from patron.models.trees import Trees, TreesConfig


class RankerConfig(TreesConfig):
    objective: Literal["lambdarank", "binary"] = "binary"
    """Order within a customer (LambdaMART, ndcg), or the chance that a candidate is bought (log loss)."""
    candidates: int = 100
    """Candidates for each customer, of those that the sources propose."""
    truncation: int = 20
    """Ranks that lambdarank looks at."""
    learning_rate: float = 0.05
    trees: int = 150
    leaves: int = 15
    min_leaf_customers: int = 200
    """A leaf holds at least so many candidates."""
    min_leaf_share: float = 0.0
    feature_fraction: float = 0.6
    max_customers: int = 4000
    """Customers of each window that it learns from, drawn by the seed."""


class Ranker:
    """Scores in (0, 1). One customer's candidates are compared with each other, never with another's."""

    def __init__(self, config: RankerConfig, names: tuple[str, ...], trees: Trees) -> None:
        self.config, self.names, self.trees = config, names, trees

    @classmethod
    def fit(
        cls,
        config: RankerConfig,
        candidates: Sequence[Columns],
        hits: Sequence[NDArray[np.bool_]],
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> Self:
        """candidates: for each customer the features of the candidates; hits: which of them were bought.

        Customers none of whose candidates was bought teach nothing about order and are left out.
        Raises DataError when none is left.
        """
        chosen = [row for row, bought in enumerate(hits) if bought.any()]
        if not chosen:
            raise DataError("No candidate was bought in the ranker's window. Use an earlier cutoff.")
        names = tuple(candidates[chosen[0]])
        rows = np.concatenate([matrix(candidates[row], names) for row in chosen], axis=1).T
        bought = np.concatenate([hits[row] for row in chosen]).astype(np.float64)
        more: dict[str, Any] = {"objective": config.objective, "bagging_fraction": 0.8, "bagging_freq": 1}
        group = None
        if config.objective == "lambdarank":
            more["lambdarank_truncation_level"] = config.truncation
            group = [len(hits[row]) for row in chosen]
        trees = Trees.fit(names, rows, bought, config, seed=seed, threads=threads, group=group, **more)
        return cls(config, names, trees)

    def scores(self, candidates: Columns) -> NDArray[np.float32]:
        """Higher is better, shape (m,)."""
        inputs = matrix(candidates, self.names)
        raw = self.trees.raw(inputs.T) if self._forest is None else self._forest.raw(inputs)
        return (1 / (1 + np.exp(-np.clip(raw, -30, 30)))).astype(np.float32)

    @cached_property
    def _forest(self) -> Forest | None:
        return Forest.of(self.trees.text)

    @cached_property
    def importance(self) -> dict[str, float]:
        """Share of the total gain by feature, the largest first."""
        gain = self.trees.booster.feature_importance("gain").astype(np.float64)
        order = np.argsort(-gain, kind="stable")
        return {self.names[each]: float(gain[each] / max(gain.sum(), 1e-12)) for each in order}

    def save(self, folder: Path) -> None:
        """`ranker.txt` in LightGBM's text and `ranker.json`."""
        self.trees.save(folder / "ranker.txt")
        told = {"config": self.config.model_dump(), "features": self.names}
        (folder / "ranker.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote."""
        told = json.loads((folder / "ranker.json").read_text(encoding="utf-8"))
        names = tuple(told["features"])
        return cls(RankerConfig(**told["config"]), names, Trees.load(folder / "ranker.txt"))

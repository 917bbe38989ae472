"""Peers from the library `implicit`, fed with customer x product matrices of how many orders held it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recommending import stored


def matrix(row: Any, order: Any, product: Any, shape: tuple[int, int]) -> sparse.csr_matrix:
    """A product twice in one order counts once."""
    lines = np.unique(np.column_stack([row, order, product]), axis=0)
    ones = np.ones(len(lines), dtype=np.float32)
    return sparse.csr_matrix((ones, (lines[:, 0], lines[:, 2])), shape=shape)


class ImplicitPeer:
    lowest = 0.0
    """Scores at or below this say nothing."""
    asked: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, seed: int, threads: int, minutes: float, overrides: dict[str, Any] | None = None
    ) -> None:
        self.seed, self.threads, self.overrides = seed, threads, overrides or {}

    def made(self) -> Any:
        raise NotImplementedError

    def fit(self, lines: dict[str, NDArray[Any]], folder: Path) -> None:
        from threadpoolctl import threadpool_limits

        self.model = self.made()
        known, self.size = lines["customer"] >= 0, len(lines["product_ids"])
        customer, order, product = (lines[name][known] for name in ("customer", "order", "product"))
        bought = matrix(customer, order, product, (int(customer.max()) + 1, self.size))
        with threadpool_limits(1, user_api="blas"):
            self.model.fit(bought, show_progress=False)

    def answers(self, past: stored.Past, readings: list[str], depth: int) -> dict[str, NDArray[np.int64]]:
        bought = matrix(past.row, past.order, past.product, (past.customers, self.size))
        found = {}
        for reading in readings:
            shown, scores = self.model.recommend(
                np.arange(past.customers),
                bought,
                N=depth,
                filter_already_liked_items=reading == "new",
                **self.asked,
            )
            found[reading] = np.where(scores > self.lowest, shown, -1).astype(np.int64)
        return found


class ALS(ImplicitPeer):
    lowest = -1e30
    asked: ClassVar[dict[str, Any]] = {"recalculate_user": True}

    def made(self) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        settings = {"factors": 64, "iterations": 15, "regularization": 0.01, "alpha": 1.0, **self.overrides}
        self.facts = {"settings": settings}
        return AlternatingLeastSquares(**settings, random_state=self.seed, num_threads=self.threads)


class ItemItem(ImplicitPeer):
    def made(self) -> Any:
        from implicit import nearest_neighbours

        settings = {"kind": "Cosine", "K": 200, **self.overrides}
        self.facts = {"settings": dict(settings)}
        kind = getattr(nearest_neighbours, f"{settings.pop('kind')}Recommender")
        return kind(**settings, num_threads=self.threads)

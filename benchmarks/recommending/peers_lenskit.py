"""Peers from LensKit. They run in the environment of `peers.txt`: nothing of Patron is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommending import stored


class LensKitPeer:
    """Fitted on distinct pairs; asked with a customer's distinct products, whom the fit need not know."""

    def __init__(
        self, seed: int, threads: int, minutes: float, overrides: dict[str, Any] | None = None
    ) -> None:
        self.seed, self.overrides = seed, overrides or {}

    def made(self) -> Any:
        raise NotImplementedError

    def fit(self, lines: dict[str, NDArray[Any]], folder: Path) -> None:
        import pandas as pd
        from lenskit.data import from_interactions_df
        from lenskit.training import TrainingOptions

        known, self.size = lines["customer"] >= 0, len(lines["product_ids"])
        pairs = np.unique(np.column_stack([lines["customer"][known], lines["product"][known]]), axis=0)
        bought = from_interactions_df(pd.DataFrame(pairs, columns=["user_id", "item_id"]))
        self.known = np.unique(pairs[:, 1])
        self.model = self.made()
        self.model.train(bought, TrainingOptions(rng=self.seed))

    def answers(self, past: stored.Past, readings: list[str], depth: int) -> dict[str, NDArray[np.int64]]:
        from lenskit.data import ItemList, RecQuery

        found = {name: np.full((past.customers, depth), -1, dtype=np.int64) for name in readings}
        items = ItemList(item_ids=self.known)  # its components fail on others
        pairs = np.unique(np.column_stack([past.row, past.product]), axis=0)
        pairs = pairs[np.isin(pairs[:, 1], self.known)]
        starts = np.searchsorted(pairs[:, 0], np.arange(past.customers + 1))
        for row in range(past.customers):
            own = pairs[starts[row] : starts[row + 1], 1]
            if not len(own):
                continue
            asked = RecQuery(history_items=ItemList(item_ids=own))
            scores = np.full(self.size, -np.inf, dtype=np.float32)
            scores[self.known] = np.nan_to_num(self.model(asked, items).scores("numpy"), nan=-np.inf)
            for name, shown in found.items():
                best = ranked(scores, own if name == "new" else own[:0], depth)
                shown[row, : len(best)] = best
        return found


def ranked(scores: NDArray[np.float32], masked: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    scores = scores.copy()
    scores[masked] = -np.inf
    edge = min(depth, len(scores))
    best = np.sort(np.argpartition(-scores, edge - 1)[:edge])
    best = best[np.argsort(-scores[best], kind="stable")]
    return np.asarray(best[np.isfinite(scores[best])], dtype=np.int64)


class ItemKNN(LensKitPeer):
    def made(self) -> Any:
        from lenskit.knn import ItemKNNScorer

        settings = {"feedback": "implicit", "save_nbrs": 200, **self.overrides}
        self.facts = {"settings": settings}
        return ItemKNNScorer(**settings)


class ALS(LensKitPeer):
    def made(self) -> Any:
        from lenskit.als import ImplicitMFScorer

        settings = {"embedding_size": 64, "epochs": 15, "user_embeddings": False, **self.overrides}
        self.facts = {"settings": settings}
        return ImplicitMFScorer(**settings)

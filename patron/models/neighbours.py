"""Recommenders that keep a few neighbours of each product: compressed rows, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patron.models.asked import Asked
from patron.models.base import Config, CustomerHistory, Recommender
from patron.models.neighbourhood import Neighbourhood, Rows
from patron.models.products import ProductIndex, read_arrays, read_config, write_arrays

BLOCK_CELLS = 20_000_000
"""Similarities held at once while fitting; bounds memory to some 500 MB."""

Row = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Neighbours of one product, best first, and their similarities."""


class HistoryWeights(Config):
    """How loudly each product of a customer's history speaks."""

    history_decay: float = 1.0
    """Weight of an order against the one after it, whatever time lies between them; 1: all count alike."""
    half_life_days: float = 0.0
    """A product last bought this long ago counts half; 0: all count alike."""
    count_weight: float = 0.0
    """Weight of the logarithm of the times bought; 0: bought is bought."""


class NeighbourModel(Recommender):
    """A history's score is the weighted sum of its products' rows; no product is its own neighbour."""

    Config: ClassVar[type[HistoryWeights]] = HistoryWeights

    def __init__(self, config: HistoryWeights | None = None) -> None:
        self.config = config or self.Config()
        self.product_ids: NDArray[np.str_] = np.zeros(0, dtype="U1")
        nothing = np.zeros(0, dtype=np.int32)
        self.table = Neighbourhood.of(np.zeros(1, dtype=np.int32), nothing, nothing.astype(np.float32))
        self._last: tuple[CustomerHistory, Rows] | None = None

    @cached_property
    def index(self) -> ProductIndex:
        return ProductIndex(self.product_ids)

    def _keep(self, product_ids: NDArray[np.str_], owners: NDArray[np.int64], rows: Iterable[Row]) -> None:
        """Take over one row of each product at `owners` (rising); a row counts in positions of owners."""
        self.product_ids = product_ids
        self.__dict__.pop("index", None)
        self._last = None
        kept = [(owners[found].astype(np.int32), values) for found, values in rows]
        sizes = np.zeros(len(product_ids), dtype=np.int64)
        sizes[owners] = [len(found) for found, _ in kept]
        self.table = Neighbourhood.of(
            np.concatenate([[0], np.cumsum(sizes)]),
            np.concatenate([np.zeros(0, dtype=np.int32), *(found for found, _ in kept)]),
            np.concatenate([np.zeros(0, dtype=np.float32), *(each for _, each in kept)]),
        )

    def scores(self, history: CustomerHistory) -> NDArray[np.float32]:
        """Weighted sum of the similarities to what was bought."""
        rows = self._rows(history)
        contributions = rows.similarities * np.repeat(rows.weights, np.diff(rows.starts))
        total = np.zeros(len(self.product_ids), dtype=np.float32)
        total[self.table.targets] = np.bincount(rows.near, contributions, minlength=len(self.table.targets))
        return total

    def asked(self, history: CustomerHistory) -> Asked:
        return self._rows(history).summed()

    def _rows(self, history: CustomerHistory) -> Rows:
        """The rows of the history's known products; those of the last history asked for are kept."""
        last = self._last
        if last is not None and last[0] is history:
            return last[1]
        positions = self.index.positions(history.product_ids)
        known = np.flatnonzero(positions >= 0)
        rows = self.table.rows(positions[known], history_weights(history, self.config)[known], known)
        self._last = history, rows
        return rows

    def strongest(self, history: CustomerHistory, position: int) -> str | None:
        """The product of the history that contributes most to the score of `position`; None if none does."""
        return self.strongest_each(history, np.asarray([position]))[0]

    def strongest_each(self, history: CustomerHistory, positions: NDArray[np.int64]) -> list[str | None]:
        """`strongest` for many positions at the cost of one."""
        best = self._rows(history).loudest(positions)
        return [None if row < 0 else str(history.product_ids[row]) for row in best.tolist()]

    def recent(self, history: CustomerHistory, count: int) -> Rows:
        """The rows of the last `count` products of the history."""
        last, first = self._last, max(len(history) - count, 0)
        if last is not None and last[0] is history:
            return last[1].since(first)
        positions = self.index.positions(history.product_ids)[first:]
        known = np.flatnonzero(positions >= 0)
        return self.table.rows(positions[known], np.ones(len(known), dtype=np.float32), known + first)

    def similar(self, product_id: str, limit: int) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
        """The product's neighbours, best first, and their similarities; empty for an unknown product."""
        positions, values = self.neighbours_of(product_id)
        return self.product_ids[positions[:limit]], values[:limit]

    def neighbours_of(self, product_id: str) -> Row:
        """Positions of the neighbours, best first, and their similarities."""
        position = self.index.position(product_id)
        if position is None:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
        return self.table.row(position)

    def save(self, folder: Path) -> None:
        write_arrays(
            folder,
            self.config,
            product_ids=self.product_ids,
            starts=self.table.starts,
            neighbours=self.table.neighbours,
            similarities=self.table.similarities,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(read_config(folder, cls.Config))
        stored = read_arrays(folder)
        model.product_ids = stored["product_ids"]
        model.table = Neighbourhood.of(stored["starts"], stored["neighbours"], stored["similarities"])
        return model


def history_weights(history: CustomerHistory, config: HistoryWeights) -> NDArray[np.float32]:
    """Weight of each product of a history, shape (len(history),)."""
    weights = (1 + config.count_weight * history.log_times) * history.decayed(config.half_life_days)
    if config.history_decay < 1:
        weights = weights * config.history_decay ** steps_since(history.days_since)
    return weights.astype(np.float32)


def steps_since(days_since: NDArray[np.float64]) -> NDArray[np.int64]:
    """Orders between each purchase and the last one, 0 for the last one's; equal ages are one order."""
    return np.unique(days_since, return_inverse=True)[1]


def products_of(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Iterator[tuple[int, Row]]:
    """Rows of `left @ right` with their numbers; only some are held at once (BLOCK_CELLS)."""
    step = max(1, BLOCK_CELLS // max(1, right.shape[1]))
    for start in range(0, left.shape[0], step):
        block = (left[start : start + step] @ right).tocsr()
        for offset in range(block.shape[0]):
            cells = slice(block.indptr[offset], block.indptr[offset + 1])
            yield start + offset, (block.indices[cells], block.data[cells])


def nearest(others: NDArray[np.int32], similarity: NDArray[np.float32], limit: int) -> Row:
    """The `limit` most similar of `others`, best first, all above 0; ties stand in product order."""
    if limit < len(similarity):
        edge = np.partition(similarity, len(similarity) - limit)[len(similarity) - limit]
        found = np.flatnonzero((similarity >= edge) & (similarity > 0))
    else:
        found = np.flatnonzero(similarity > 0)
    best = found[np.lexsort((others[found], -similarity[found]))][:limit]
    return others[best], similarity[best]

"""What sources propose for one customer, side by side: the candidates that are weighted or ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from patron.models.asked import Asked, Positions


@dataclass(frozen=True)
class Shortlist:
    """Candidates in catalogue order (m of them) and what each of s sources says of them.

    positions: (m,). scores: (m, s), as the source gave them. values: (m, s), made comparable, 0 where the
    source did not propose the product. ranks: (m, s), place in the source's list, `depth` where not in it.
    """

    names: tuple[str, ...]
    positions: NDArray[np.int64]
    scores: NDArray[np.float32]
    values: NDArray[np.float32]
    ranks: NDArray[np.int32]
    depth: int

    @classmethod
    def of(
        cls, asked: Mapping[str, Asked], mask: NDArray[np.bool_], depth: int, rank_offset: float | None
    ) -> Shortlist:
        """The union of each source's `depth` best allowed products.

        Comparable means: score over the source's best score, or with `rank_offset` offset / (offset + rank).
        """
        if not asked:
            return cls.none(depth)
        lists = [each.best(depth, mask) for each in asked.values()]
        proposed = np.concatenate([found for found, _ in lists])
        union, rows = _united(proposed, len(mask))
        sizes = [len(found) for found, _ in lists]
        columns = np.arange(len(lists)).repeat(sizes)
        shape = (len(lists), len(union))
        scores, values = np.empty(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        ranks = np.full(shape, depth, dtype=np.int32)
        ranks[columns, rows] = np.concatenate([np.arange(size) for size in sizes])
        values[columns, rows] = np.concatenate([_comparable(told, rank_offset) for _, told in lists])
        for column, each in enumerate(asked.values()):
            scores[column] = each.at(union)
        return cls(tuple(asked), union, scores.T, values.T, ranks.T, depth)

    @classmethod
    def none(cls, depth: int = 0) -> Shortlist:
        """Nobody was asked."""
        nothing = np.zeros((0, 0), dtype=np.float32)
        return cls((), np.zeros(0, dtype=np.int64), nothing, nothing, nothing.astype(np.int32), depth)

    def __len__(self) -> int:
        return len(self.positions)

    def weighted(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        """What each source adds to each candidate, shape (m, s)."""
        return self.values * np.asarray([weights.get(name, 0.0) for name in self.names], dtype=np.float32)

    def at(self, rows: NDArray[np.int64]) -> Shortlist:
        """Only the candidates at `rows`, in that order."""
        return replace(
            self,
            positions=self.positions[rows],
            scores=self.scores[rows],
            values=self.values[rows],
            ranks=self.ranks[rows],
        )

    def best(self, mixed: NDArray[np.float32], limit: int) -> NDArray[np.int64]:
        """Rows, rising, of at most `limit` candidates: the better half by `mixed`, then the sources in turn.

        mixed: (m,). So no source is silenced by those with more weight.
        """
        if len(self) <= limit:
            return np.arange(len(self))
        first = (-mixed).argsort(kind="stable")[: limit // 2]
        turn = self.ranks.min(axis=1).astype(np.int64)
        turn[first] = -1
        return np.sort(np.lexsort((-mixed, turn))[:limit])


def loudest(shares: NDArray[np.float32], names: Sequence[str], most: int) -> list[list[str]]:
    """For each row the names of the sources that add to it, the largest share first, at most `most`."""
    order = (-shares).argsort(axis=1, kind="stable")[:, :most]
    return [
        [names[column] for column in columns if shares[row, column] > 0]
        for row, columns in enumerate(order.tolist())
    ]


def _united(proposed: Positions, size: int) -> tuple[Positions, Positions]:
    """What was proposed, rising, each once; and where in it each proposal stands. size: of the catalogue."""
    marked = np.zeros(size, dtype=np.bool_)
    marked[proposed] = True
    union = marked.nonzero()[0]
    place = np.empty(size, dtype=np.int64)
    place[union] = np.arange(len(union))
    return union, place[proposed]


def _comparable(scores: NDArray[np.float32], rank_offset: float | None) -> NDArray[np.float32]:
    """scores: best first, all above 0."""
    if rank_offset is None:
        return scores / scores[:1]
    offset = np.float32(rank_offset)
    return offset / (offset + np.arange(len(scores), dtype=np.float32))

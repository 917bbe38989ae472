"""The neighbours of every product in compressed rows, and sums over the rows of a few products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from patron.models.asked import SPARE, Asked, Best, Mask, Positions, Scores, contenders
from patron.models.products import best_first, top
from patron.models.sparse_rows import narrow, rows_of, summed


@dataclass(frozen=True)
class Neighbourhood:
    """Rows of n products over the t products that are anybody's neighbour.

    starts: (n + 1,), where each row of cells begins. near: (m,), neighbours as numbers of targets, best
    first. similarities: (m,), above 0. targets: (t,), rising positions of products. number: (n,), each
    product's number among the targets, t for the others.
    """

    starts: NDArray[np.int32]
    near: NDArray[np.int32]
    similarities: Scores
    targets: Positions
    number: NDArray[np.int32]

    @classmethod
    def of(cls, starts: NDArray[np.integer], neighbours: NDArray[np.int32], similarities: Scores) -> Self:
        """neighbours: positions of products."""
        named = np.zeros(len(starts) - 1, dtype=np.bool_)
        named[neighbours] = True
        targets = named.nonzero()[0]
        number = np.full(len(named), len(targets), dtype=np.int32)
        number[targets] = np.arange(len(targets))
        return cls(narrow(starts), number[neighbours], similarities, targets, number)

    @property
    def neighbours(self) -> NDArray[np.int32]:
        """Positions of the neighbours, (m,)."""
        return self.targets.astype(np.int32)[self.near]

    def row(self, position: int) -> tuple[NDArray[np.int32], Scores]:
        """Positions of one product's neighbours, best first, and their similarities."""
        cells = slice(self.starts[position], self.starts[position + 1])
        return self.targets[self.near[cells]].astype(np.int32), self.similarities[cells]

    def rows(self, positions: Positions, weights: Scores, owners: NDArray[np.int64]) -> Rows:
        """Copies of the rows of products."""
        cells = rows_of((self.starts, self.near, self.similarities), positions)
        return Rows(self, *cells, weights, owners)


@dataclass(frozen=True)
class Rows:
    """Rows of some products of a history, end to end: m cells in r rows.

    starts: (r + 1,). near, similarities: (m,). weights: (r,), how loudly each row speaks. owners: (r,),
    rising: the index into the history of the product whose row it is.
    """

    table: Neighbourhood
    starts: NDArray[np.int32]
    near: NDArray[np.int32]
    similarities: Scores
    weights: Scores
    owners: NDArray[np.int64]

    def summed(self) -> Summed:
        """Weighted sum of the similarities to every product."""
        cells = self.starts, self.near, self.similarities
        return Summed(self.table, summed(cells, self.weights, len(self.table.targets) + 1))

    def since(self, first: int) -> Rows:
        """Only the rows of the history's products from `first` on."""
        row = int(self.owners.searchsorted(first))
        start = self.starts[row]
        return Rows(
            self.table,
            self.starts[row:] - start,
            self.near[start:],
            self.similarities[start:],
            self.weights[row:],
            self.owners[row:],
        )

    def hits(self, positions: Positions) -> tuple[NDArray[np.int64], ...]:
        """Cells that name one of `positions`, each given once; their rows; and which one each cell names."""
        place = np.empty(len(self.table.targets) + 1, dtype=np.int16)
        place.fill(-1)
        place[self.table.number[positions]] = np.arange(len(positions))
        named = place.take(self.near)
        cells = (named >= 0).nonzero()[0]
        return cells, self.starts.searchsorted(cells, side="right") - 1, named[cells].astype(np.int64)

    def loudest(self, positions: Positions) -> NDArray[np.int64]:
        """Owner of the row that adds most to the sum of each position, -1 where none does."""
        cells, rows, named = self.hits(positions)
        added = self.similarities[cells] * self.weights[rows]
        order = np.lexsort((cells, -added, named))
        found, first = np.unique(named[order], return_index=True)
        best = np.full(len(positions), -1, dtype=np.int64)
        best[found] = self.owners[rows[order[first]]]
        return best


class Summed(Asked):
    """A score of every target; 0 for all other products. totals: (t + 1,), the last 0."""

    def __init__(self, table: Neighbourhood, totals: Scores) -> None:
        self.table, self.totals = table, totals

    def best(self, depth: int, allowed: Mask) -> Best:
        targets = self.table.targets
        found, all_of_them = contenders(self.totals, int(SPARE * depth))
        found = found[allowed[targets[found]]]
        if len(found) < depth and not all_of_them:
            found = top(self.totals[:-1], depth, allowed[targets])
        found, scores = best_first(found, self.totals[found], depth)
        return targets[found], scores

    def at(self, positions: Positions) -> Scores:
        return self.totals[self.table.number[positions]]

"""Products most like a profile of facts, exactly, without comparing all of them.

Facts are taken up one after another, the telling and rare first, until what the others can add at most is
too little to lift a product among the best. Sources: Turtle & Flood 1995 (the bound by each list's largest
value), with the bound of Cauchy & Schwarz beside it, as all vectors have length 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patron.models.asked import TINY, Asked, Best, Dense, Mask, Positions, Scores, contenders
from patron.models.products import best_first, lowest_of, stretches
from patron.models.sparse_rows import Compressed, dotted, dotted_each, narrow, rows_of, summed

SHARES = 0.25, 1.0
"""Cells that are looked at before each try, as a share of the kinds."""
MOST_SHARE = 0.5
"""Of all cells in the lists of the profile's facts; beyond, no try is made."""
FEW = 2048
"""Products that are compared one by one without more ado."""
SLACK = 1e-5
"""For the rounding of 32 bits."""


@dataclass(frozen=True)
class Kinds:
    """Products of which the same is said are of one kind: what is told of one is true of all.

    cells: kind x fact, rows of length 1. lists: fact x kind. largest, sizes: (facts,), of each list. kind:
    (n_products,). starts, members: the products of each kind, rising.
    """

    cells: Compressed
    lists: Compressed
    largest: Scores
    sizes: NDArray[np.int32]
    kind: NDArray[np.int32]
    starts: NDArray[np.int64]
    members: Positions

    @classmethod
    def of(cls, facts: sparse.csr_matrix) -> Self:
        """facts: product x fact. Kinds stand in the order of their first products."""
        kind = _alike(facts)
        members = kind.argsort(kind="stable")
        starts = kind[members].searchsorted(np.arange(kind.max(initial=-1) + 2))
        distinct = sparse.csr_matrix(facts[members[starts[:-1]]])
        turned = distinct.T.tocsr()
        largest = (
            np.asarray(turned.max(axis=1).todense(), dtype=np.float32).ravel() if turned.nnz else np.zeros(0)
        )
        cells, lists = _cells(distinct), _cells(turned)
        return cls(cells, lists, largest.astype(np.float32), np.diff(lists[0]), kind, starts, members)

    def profile(self, positions: Positions, weights: Scores) -> Scores:
        """Sum of the products' facts, each times its weight, shape (facts,)."""
        return summed(rows_of(self.cells, self.kind[positions]), weights, len(self.lists[0]) - 1)

    def shared(self, left: Positions, right: Positions) -> Scores:
        """Cosine of each product on the left with each on the right, shape (left, right)."""
        starts, facts, values = rows_of(self.cells, self.kind[right])
        vectors = np.zeros((len(self.lists[0]) - 1, len(right)), dtype=np.float32)
        vectors[facts, np.arange(len(right)).repeat(np.diff(starts))] = values
        return dotted_each(rows_of(self.cells, self.kind[left]), vectors)

    def products(self, kinds: Positions) -> tuple[Positions, Positions]:
        """The members of some kinds, and the index into `kinds` of each."""
        begins, ends = self.starts[kinds], self.starts[kinds + 1]
        return self.members[stretches(begins, ends)], np.arange(len(kinds)).repeat(ends - begins)


class Alike(Asked):
    """Likeness to a profile of length 1. profile: (facts,)."""

    def __init__(self, kinds: Kinds, profile: Scores) -> None:
        self.kinds, self.profile = kinds, profile

    def at(self, positions: Positions) -> Scores:
        return self._likeness(self.kinds.kind[positions])

    def _likeness(self, kinds: NDArray[np.integer]) -> Scores:
        return dotted(rows_of(self.kinds.cells, kinds), self.profile)

    def best(self, depth: int, allowed: Mask) -> Best:
        if np.count_nonzero(allowed) <= FEW:
            return self._among(allowed.nonzero()[0], depth)
        near = self._near(depth, allowed)
        return self._all(depth, allowed) if near is None else self._of_kinds(near, depth, allowed)

    def _near(self, depth: int, allowed: Mask) -> Positions | None:
        """Kinds among which the best are; None where comparing all is as quick as finding out."""
        facts, rest = self._facts()
        ends = self.kinds.sizes[facts].cumsum()
        if ends[-1] > MOST_SHARE * len(self.kinds.cells[1]):
            return None
        partial, done = np.zeros(len(self.kinds.starts) - 1, dtype=np.float32), 0
        for share in SHARES:
            end = max(int(ends.searchsorted(share * len(partial))), done + 1)
            lists = rows_of(self.kinds.lists, facts[done:end])
            partial += summed(lists, self.profile[facts[done:end]], len(partial))
            edge, more = self._edge(partial, depth, allowed), rest[min(end, len(facts)) - 1] + SLACK
            near = (partial >= max(edge - more, TINY)).nonzero()[0]
            if edge > more and len(near) <= FEW:
                return near
            done = end
        return None

    def _all(self, depth: int, allowed: Mask) -> Best:
        likeness = dotted(self.kinds.cells, self.profile)
        kinds, _ = contenders(likeness, depth)
        found = self._of_kinds(kinds, depth, allowed)
        return found if len(found[0]) >= depth else Dense(likeness[self.kinds.kind]).best(depth, allowed)

    def _facts(self) -> tuple[Positions, NDArray[np.float64]]:
        """Facts of the profile in the order of use, and what those after each can add at most."""
        facts = self.profile.nonzero()[0]
        most = self.profile[facts].astype(np.float64) * self.kinds.largest[facts]
        order = (-most / self.kinds.sizes[facts]).argsort(kind="stable")
        facts, most = facts[order], most[order]
        square = np.square(self.profile[facts].astype(np.float64))
        length = np.sqrt(np.maximum(square.sum() - square.cumsum(), 0))
        return facts, np.minimum(length, most.sum() - most.cumsum())

    def _edge(self, partial: Scores, depth: int, allowed: Mask) -> float:
        """A likeness that `depth` allowed products reach; 0 where those that seem the best are fewer."""
        kinds, _ = contenders(partial, 2 * depth)
        products, owner = self.kinds.products(kinds[:FEW])
        return lowest_of(self._likeness(kinds[:FEW])[owner[allowed[products]]], depth)

    def _of_kinds(self, kinds: Positions, depth: int, allowed: Mask) -> Best:
        """The best of the allowed members of some kinds."""
        products, owner = self.kinds.products(kinds)
        scores = self._likeness(kinds)[owner]
        kept = allowed[products].nonzero()[0]
        kept = kept[scores[kept] >= max(lowest_of(scores[kept], depth), TINY)]
        return best_first(products[kept], scores[kept], depth)

    def _among(self, positions: Positions, depth: int) -> Best:
        scores = self.at(positions)
        kept = (scores > 0).nonzero()[0]
        return best_first(positions[kept], scores[kept], depth)


def _alike(facts: sparse.csr_matrix) -> NDArray[np.int32]:
    """The number of each product's kind, shape (n_products,)."""
    numbers: dict[tuple[bytes, bytes], int] = {}
    told = (
        (facts.indices[start:end].tobytes(), facts.data[start:end].tobytes())
        for start, end in pairwise(facts.indptr.tolist())
    )
    return np.fromiter((numbers.setdefault(each, len(numbers)) for each in told), dtype=np.int32)


def _cells(rows: sparse.csr_matrix) -> Compressed:
    return narrow(rows.indptr), rows.indices.astype(np.int32, copy=False), rows.data

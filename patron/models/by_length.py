"""The largest inner products of a vector with those of all products, exactly, without forming most of them.

No product of a short vector can be large (Cauchy & Schwarz), so products are gone through from the longest
vector to the first one that is too short to matter. Source: Teflioudi, Gemulla & Mykytiuk 2015, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from patron.models.asked import TINY, Asked, Best, Mask, Positions, Scores
from patron.models.products import best_first, lowest_of

HEAD = 2048
"""Products that are looked at before it is known how far to go."""
SLACK = 1e-5
"""Of a length, for the rounding of 32 bits."""


@dataclass(frozen=True)
class ByLength:
    """Vectors of products, the longest first.

    vectors: (n, factors). shortness: (n,), minus the length, rising. order: (n,), whose vector it is.
    place: (n,), where each product stands in the order.
    """

    vectors: NDArray[np.float32]
    shortness: NDArray[np.float32]
    order: NDArray[np.int64]
    place: NDArray[np.int32]

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> Self:
        """vectors: in product order."""
        shortness = -np.linalg.norm(vectors, axis=1)
        order = shortness.argsort(kind="stable")
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order))
        return cls(vectors[order], shortness[order], order, place)

    def of_products(self, positions: Positions) -> NDArray[np.float32]:
        """Vectors of some products."""
        return self.vectors.take(self.place[positions], axis=0)

    def reaching(self, score: float, length: float) -> int:
        """How many products, the longest, can reach a score with a vector of this length."""
        if score <= 0:
            return len(self.order)
        needed = np.float32(score / length * (1 - SLACK))
        return int(self.shortness.searchsorted(-needed, side="right"))


class Nearest(Asked):
    """The products of the largest inner products with one vector."""

    def __init__(self, products: ByLength, vector: NDArray[np.float32]) -> None:
        self.products, self.vector = products, vector

    def best(self, depth: int, allowed: Mask) -> Best:
        length = float(np.linalg.norm(self.vector))
        if not length or depth <= 0:
            return best_first(self.products.order[:0], self.products.shortness[:0], 0)
        scores = self.products.vectors[:HEAD] @ self.vector
        edge = lowest_of(scores[allowed[self.products.order[:HEAD]]], depth)
        end = self.products.reaching(edge, length)
        if end > HEAD:
            scores = np.concatenate([scores, self.products.vectors[HEAD:end] @ self.vector])
        found = (scores >= max(edge, TINY)).nonzero()[0]
        positions = self.products.order[found]
        kept = allowed[positions]
        return best_first(positions[kept], scores[found][kept], depth)

    def at(self, positions: Positions) -> Scores:
        return self.products.of_products(positions) @ self.vector

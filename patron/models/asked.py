"""A candidate source, asked about one history: its best products, and what it says of any.

A source answers from the products that its history touches; the whole catalogue is gone over only where
there is no shorter way. `Recommender.scores` says the same of every product, and tests hold both equal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from patron.models.products import best_first, lowest_of, top

Positions = NDArray[np.int64]
Scores = NDArray[np.float32]
Mask = NDArray[np.bool_]
Best = tuple[Positions, Scores]

SETS = 16
"""Products that share one maximum when the best of a whole catalogue are looked for."""
SPARE = 1.5
"""Times `depth` products that are looked at before the mask is known to leave enough."""
TINY = float(np.finfo(np.float32).tiny)


class Asked(ABC):
    """What a source says of one history. Valid while its source is not fitted again."""

    @abstractmethod
    def best(self, depth: int, allowed: Mask) -> Best:
        """The `depth` best allowed products, best first, all above 0; ties stand in product order.

        allowed: shape (n_products,), applied before the cut, so that `depth` is met when it can be.
        """

    @abstractmethod
    def at(self, positions: Positions) -> Scores:
        """The score of each position, 0 for 'nothing to say'; shape (len(positions),)."""


class Dense(Asked):
    """A score of every product."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores

    def best(self, depth: int, allowed: Mask) -> Best:
        found, all_of_them = contenders(self.scores, int(SPARE * depth))
        found = found[allowed[found]]
        if len(found) < depth and not all_of_them:
            found = top(self.scores, depth, allowed)
        return best_first(found, self.scores[found], depth)

    def at(self, positions: Positions) -> Scores:
        return self.scores[positions]


class Few(Asked):
    """Scores of some products, 0 for all others. positions: rising, each once."""

    def __init__(self, positions: Positions, scores: Scores) -> None:
        self.positions, self.scores = positions, scores

    def best(self, depth: int, allowed: Mask) -> Best:
        kept = (allowed[self.positions] & (self.scores > 0)).nonzero()[0]
        return best_first(self.positions[kept], self.scores[kept], depth)

    def at(self, positions: Positions) -> Scores:
        if not len(self.positions):
            return np.zeros(len(positions), dtype=np.float32)
        place = np.minimum(self.positions.searchsorted(positions), len(self.positions) - 1)
        return np.where(self.positions[place] == positions, self.scores[place], np.float32(0))


class Ordered(Asked):
    """The same for everybody. order: every product with a score, best first, ties in product order."""

    def __init__(self, order: Positions, scores: Scores) -> None:
        self.order, self.scores = order, scores

    def best(self, depth: int, allowed: Mask) -> Best:
        size = int(SPARE * depth)
        while True:
            found = self.order[:size]
            found = found[allowed[found]]
            if len(found) >= depth or size >= len(self.order):
                return found[:depth], self.scores[found[:depth]]
            size *= 8

    def at(self, positions: Positions) -> Scores:
        return self.scores[positions]


def contenders(scores: Scores, count: int, least: float = TINY) -> tuple[Positions, bool]:
    """Rising positions of at least the `count` highest scores, and whether none from `least` on is missing.

    Every score as high as the lowest of them is among them. The highest scores of `count` sets of products
    tell what that may be.
    """
    width = len(scores) // SETS
    if width <= count or count <= 0:
        return (scores >= least).nonzero()[0], True
    highest = scores[: SETS * width].reshape(SETS, width).max(axis=0)
    edge = max(lowest_of(highest, count), least)
    return (scores >= edge).nonzero()[0], edge == least

"""What sources propose for one customer: made comparable, weighted, added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patron.models.base import CustomerHistory, Recommender
from patron.models.products import top

Candidates = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions, best first, and their comparable scores in (0, 1]; or those times a weight."""


def proposed(
    source: Recommender,
    history: CustomerHistory,
    mask: NDArray[np.bool_],
    limit: int,
    rank_offset: float | None,
) -> Candidates:
    """A source's best allowed products.

    Comparable means: score over the source's best score, or with `rank_offset` offset / (offset + rank).
    """
    scores = source.scores(history)
    positions = top(scores, limit, mask)
    values = scores[positions]
    if rank_offset is None:
        return positions, values / values[:1]
    offset = np.float32(rank_offset)
    return positions, offset / (offset + np.arange(len(values), dtype=np.float32))


@dataclass(frozen=True)
class Mixture:
    """Weighted candidates by source, of a catalogue of `size` products."""

    parts: dict[str, Candidates]
    size: int

    def scores(self) -> NDArray[np.float32]:
        """Sum over sources, shape (size,); 0 for what no source proposed."""
        total = np.zeros(self.size, dtype=np.float32)
        for positions, values in self.parts.values():
            total[positions] += values
        return total

    def loudest(self, chosen: NDArray[np.int64], most: int) -> list[list[str]]:
        """For each chosen position the sources that added to it, the largest share first, at most `most`."""
        shares = {name: _shares(part, chosen) for name, part in self.parts.items()}
        found = []
        for row in range(len(chosen)):
            adding = [name for name in shares if shares[name][row] > 0]
            found.append(sorted(adding, key=lambda name: -shares[name][row])[:most])
        return found


def _shares(part: Candidates, chosen: NDArray[np.int64]) -> list[float]:
    positions, values = part
    known = dict(zip(positions.tolist(), values.tolist(), strict=True))
    return [known.get(each, 0.0) for each in chosen.tolist()]

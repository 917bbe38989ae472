"""Fitting how much each candidate source counts: a coordinate search on ndcg@10 of a validation window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patron.models.shortlist import Shortlist

CUT = 10
STEPS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Weights tried for one source while the others stand still; then all are scaled to sum to 1."""
PASSES = 5
MIN_GAIN = 1e-5
GAINS = 1 / np.log2(np.arange(2, CUT + 2))


@dataclass(frozen=True)
class Panel:
    """Candidates of many customers side by side; short lists are padded with zeros.

    features: (customers, width, sources). relevant: (customers, width). ideal: (customers,), the best DCG.
    """

    features: NDArray[np.float32]
    relevant: NDArray[np.bool_]
    ideal: NDArray[np.float64]

    @classmethod
    def of(cls, shortlists: Sequence[Shortlist], relevant: Sequence[NDArray[np.int64]]) -> Panel:
        """shortlists: one a customer, of the same sources. relevant: positions bought in the window."""
        shape = (len(shortlists), max([CUT, *map(len, shortlists)]))
        features = np.zeros((*shape, len(shortlists[0].names)), dtype=np.float32)
        hits = np.zeros(shape, dtype=np.bool_)
        for row, each in enumerate(shortlists):
            features[row, : len(each)] = each.values
            hits[row, : len(each)] = np.isin(each.positions, relevant[row])
        ideals = np.cumsum(GAINS)
        ideal = np.asarray([ideals[min(CUT, len(each)) - 1] for each in relevant])
        return cls(features, hits, ideal)

    def ndcg(self, weights: NDArray[np.float64]) -> float:
        """Mean ndcg@10 over customers; relevant products that no source proposed count as missed."""
        scores = self.features @ weights.astype(np.float32)
        best = np.argpartition(-scores, CUT - 1, axis=1)[:, :CUT]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        return float((np.take_along_axis(self.relevant, best, axis=1) @ GAINS / self.ideal).mean())


def search(panel: Panel, seed: int) -> tuple[NDArray[np.float64], float]:
    """Weights that sum to 1, and the ndcg@10 they reach on the panel.

    Starts from the best single source and from equal weights, then changes one weight at a time, in an order
    drawn from `seed`, until a pass over all of them no longer helps.
    """
    count = panel.features.shape[2]
    rng = np.random.default_rng(seed)
    singles = [np.eye(count)[source] for source in range(count)]
    starts = [max(singles, key=panel.ndcg), np.full(count, 1 / count)]
    return max((_ascend(panel, start, rng) for start in starts), key=lambda found: found[1])


def _ascend(
    panel: Panel, weights: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    best = panel.ndcg(weights)
    for _ in range(PASSES):
        before = best
        for source in rng.permutation(len(weights)):
            for step in STEPS:
                tried = weights.copy()
                tried[source] = step
                if tried.sum() == 0:
                    continue
                reached = panel.ndcg(tried / tried.sum())
                if reached > best + MIN_GAIN:
                    weights, best = tried, reached
            weights = weights / weights.sum()
        if best <= before + MIN_GAIN:
            break
    return weights, best

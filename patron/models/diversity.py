"""Spreading an answer over categories, as far as the page wants it.

Maximal marginal relevance (Carbonell & Goldstein 1998, equation 2) with the category as similarity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spread(
    scores: NDArray[np.float32], categories: NDArray[np.str_], limit: int, diversity: float
) -> NDArray[np.int64]:
    """Indices of the `limit` candidates to show, best first; ties keep the order given.

    scores: shape (n,), best first. categories: shape (n,), "" is a category of its own kind: no two such
    products are alike. diversity: 0 keeps the order of the scores; the larger, the more a product loses
    for each one of its category that stands before it; at 1 a new category always comes first.
    """
    if diversity <= 0 or len(scores) == 0:
        return np.arange(min(limit, len(scores)))
    worth = scores.astype(np.float64) / max(float(scores[0]), 1e-12)
    before = np.zeros(len(scores))
    free = np.ones(len(scores), dtype=np.bool_)
    chosen = []
    for _ in range(min(limit, len(scores))):
        marginal = np.where(free, (1 - diversity) * worth - diversity * before, -np.inf)
        best = int(np.argmax(marginal))
        chosen.append(best)
        free[best] = False
        if categories[best]:
            before += categories == categories[best]
    return np.asarray(chosen, dtype=np.int64)

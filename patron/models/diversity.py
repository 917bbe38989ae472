"""Spreading an answer over categories, as far as the page wants it.

Maximal marginal relevance (Carbonell & Goldstein 1998, equation 2) with category and vector as similarity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.5
"""What the likeness of two vectors counts at most, where one category counts 1."""


def spread(
    scores: NDArray[np.float32],
    categories: NDArray[np.str_],
    limit: int,
    diversity: float,
    vectors: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:
    """Indices of the `limit` candidates to show, best first; ties keep the order given.

    scores: shape (n,), best first. categories: shape (n,), "" is a category of its own kind: no two such
    products are alike. vectors: shape (n, d), of length 1 or 0; their cosine tells how alike products of
    different categories are. diversity: 0 keeps the order of the scores; the larger, the more a product loses
    for each one of its category, and for the one most like it, that stands before it; at 1 a new category
    always comes first.
    """
    if diversity <= 0 or len(scores) == 0:
        return np.arange(min(limit, len(scores)))
    worth = scores.astype(np.float64) / max(float(scores[0]), 1e-12)
    before, nearest = np.zeros(len(scores)), np.zeros(len(scores))
    free = np.ones(len(scores), dtype=np.bool_)
    chosen = []
    for _ in range(min(limit, len(scores))):
        marginal = np.where(free, (1 - diversity) * worth - diversity * (before + nearest), -np.inf)
        best = int(np.argmax(marginal))
        chosen.append(best)
        free[best] = False
        if categories[best]:
            before += categories == categories[best]
        if vectors is not None:
            nearest = np.maximum(nearest, ALIKE * (vectors @ vectors[best]))
    return np.asarray(chosen, dtype=np.int64)

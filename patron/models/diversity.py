"""Spreading an answer over categories, as far as the page wants it.

Maximal marginal relevance (Carbonell & Goldstein 1998, equation 2) with category and vector as similarity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.5
"""What the likeness of two vectors counts at most, where one category counts 1."""


def spread(
    scores: NDArray[np.float32],
    categories: NDArray[Any],
    limit: int,
    diversity: float,
    vectors: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:
    """Indices of the `limit` candidates to show, best first; ties keep the order given.

    scores: shape (n,), best first. categories: shape (n,), numbers or names; below 0, or "", stands for none,
    and no two such products are alike. vectors: shape (n, d), of length 1 or 0; their cosine tells how alike
    products of different categories are. diversity: 0 keeps the order of the scores; the larger, the more a
    product loses for each one of its category, and for the one most like it, that stands before it; at 1 a
    new category always comes first.
    """
    most = min(limit, len(scores))
    if diversity <= 0 or most == 0:
        return np.arange(most)
    worth = (1 - diversity) * scores.astype(np.float64) / max(float(scores[0]), 1e-12)
    known = categories != "" if categories.dtype.kind == "U" else categories >= 0
    same = (categories[:, None] == categories) & known
    penalties = diversity * same.astype(np.float64)
    alike = None if vectors is None else diversity * ALIKE * (vectors @ vectors.T)
    nearest = np.zeros(len(scores))
    chosen = np.empty(most, dtype=np.int64)
    for place in range(most):
        best = int((worth - nearest).argmax())
        chosen[place] = best
        worth[best] = -np.inf
        worth -= penalties[best]
        if alike is not None:
            np.maximum(nearest, alike[best], out=nearest)
    return chosen

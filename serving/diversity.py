"""Trading a little score for different categories: maximal marginal relevance over category repeats.

Source of the form: Carbonell & Goldstein 1998; similarity here is how often the category was chosen already.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from patron.models.base import Recommendation


def diversified(
    found: list[Recommendation], catalogue: Any, diversity: float, limit: int
) -> list[Recommendation]:
    """The best `limit` of `found` (best first). diversity 0 keeps the order, 1 lets categories take turns."""
    if not diversity:
        return found[:limit]
    categories = [category(catalogue, each.product_id) for each in found]
    relevance = [1 - rank / len(found) for rank in range(len(found))]
    left, seen = list(range(len(found))), Counter[str]()
    chosen: list[Recommendation] = []
    while left and len(chosen) < limit:
        best = max(
            left,
            key=lambda each: ((1 - diversity) * relevance[each] - diversity * seen[categories[each]], -each),
        )
        left.remove(best)
        chosen.append(found[best])
        seen[categories[best]] += 1
    return chosen


def category(catalogue: Any, product_id: str) -> str:
    position = catalogue.position(product_id)
    return "" if position is None else str(catalogue.categories[position])

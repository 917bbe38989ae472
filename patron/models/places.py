"""Keeping places of an answer for products that are new to the customer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PAGE = 10
"""Places are kept in every run of so many."""


def with_new(is_new: NDArray[np.bool_], kept: int, limit: int) -> NDArray[np.int64]:
    """Indices of the `limit` products to show, so that of each ten at least `kept` are new, if there are any.

    is_new: (n,), of products best first. Within a page the order stays; what must give way, the last of what
    is not new, heads the next page.
    """
    order = np.arange(len(is_new))
    if kept <= 0 or limit <= 0 or not is_new.any():
        return order[:limit]
    shown: list[NDArray[np.int64]] = []
    while len(order) and sum(map(len, shown)) < limit:
        page = _page(is_new[order], min(kept, PAGE))
        shown.append(order[page])
        order = np.delete(order, page)
    return np.concatenate(shown)[:limit]


def _page(is_new: NDArray[np.bool_], kept: int) -> NDArray[np.int64]:
    """The rising indices of the next page's products."""
    new, known = np.flatnonzero(is_new), np.flatnonzero(~is_new)
    among = int(is_new[:PAGE].sum())
    wanted = min(max(kept, among, PAGE - len(known)), len(new))
    return np.sort(np.concatenate([new[:wanted], known[: PAGE - wanted]]))

"""Counting a column in bins that stay: quantiles of numbers, names of categories, missing on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Quantile bins of a number; equal values are never torn apart, so there may be fewer."""

MOST_CATEGORIES = 50
"""Categories that get a bin of their own; the rest is counted with what was never seen."""

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Bins:
    """The bins of one column, learned from it.

    Numbers: (-inf, edge 0], (edge 0, edge 1], ..., (last edge, inf), then missing. The first and the last of
    these lie beyond what was seen. A value that a tenth of the rows share has a bin of its own, and so has
    every value where there are few. Categories: one each, then the unseen, then missing.
    """

    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] | None = None

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """Learn the bins of a column. shape (rows,); numbers, flags or text, None or NaN where missing."""
        if is_text(values):
            named, counts = np.unique(present(values), return_counts=True)
            common = np.sort(np.argsort(-counts, kind="stable")[:MOST_CATEGORIES])
            return cls(categories=tuple(str(each) for each in named[common]))
        return cls(edges=tuple(edges_of(present(values)).tolist()))

    @property
    def size(self) -> int:
        """Number of bins."""
        return (len(self.edges) if self.categories is None else len(self.categories)) + 2

    def counts(self, values: NDArray[Any]) -> Counts:
        """Rows in each bin, shape (size,)."""
        return np.bincount(self.places(values), minlength=self.size).astype(np.int64)

    def places(self, values: NDArray[Any]) -> Counts:
        """The bin of each row, shape (rows,). A text column that became numbers, or the other way: unseen."""
        found = np.full(len(values), self.size - 1, dtype=np.int64)
        there = ~missing(values)
        if is_text(values) != (self.categories is not None):
            found[there] = self.size - 2
        elif self.categories is None:
            found[there] = np.searchsorted(self.edges, present(values), side="left")
        else:
            named = {name: place for place, name in enumerate(self.categories)}
            found[there] = [named.get(str(each), len(named)) for each in values[there]]
        return found

    def document(self) -> dict[str, Any]:
        """As JSON."""
        if self.categories is not None:
            return {"categories": list(self.categories)}
        return {"edges": list(self.edges)}

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        if "categories" in document:
            return cls(categories=tuple(document["categories"]))
        return cls(edges=tuple(document["edges"]))


def is_text(values: NDArray[Any]) -> bool:
    """Whether a column holds text: its first value that is there does."""
    if values.dtype != object:
        return values.dtype.kind in "US"
    return isinstance(next((each for each in values if each is not None), None), str)


def missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where nothing is: None, NaN, and infinities, which models read as missing."""
    if is_text(values):
        return np.array([each is None for each in values], dtype=bool)
    return ~np.isfinite(numbers(values))


def present(values: NDArray[Any]) -> NDArray[Any]:
    """The values that are there: float64, or text."""
    there = ~missing(values)
    return values[there].astype(np.str_) if is_text(values) else numbers(values)[there]


def numbers(values: NDArray[Any]) -> NDArray[np.float64]:
    """A column of numbers or flags as float64, NaN for None."""
    if values.dtype == object:
        return np.array([np.nan if each is None else each for each in values], dtype=np.float64)
    return values.astype(np.float64)


def edges_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ascending upper edges (inclusive) of the bins of numbers; the first lies just below the least value."""
    if not len(values):
        return np.zeros(0)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= BINS:
        upper = distinct
    else:
        shared = distinct[counts * BINS >= len(values)]
        cuts = np.quantile(values, np.arange(1, BINS) / BINS, method="inverted_cdf")
        upper = np.concatenate([cuts, shared, below(shared), distinct[-1:]])
    return np.unique(np.concatenate([below(distinct[:1]), upper]))


def below(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest numbers that are less."""
    return np.nextafter(values, -np.inf)

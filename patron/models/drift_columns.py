"""One column of a drift reference: its bins, how many rows each held, and how they used to move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from patron.models.bins import Bins, Counts, is_text, missing, numbers
from patron.models.stability import Movement, gaps

Against = Literal["fit", "last"]
"""The moments of the fit, or the last moment that training knew."""


@dataclass(frozen=True)
class ColumnReference:
    """What a column looked like."""

    bins: Bins
    fit: Counts
    """Rows in each bin, of about as many rows as there are customers at one moment of the fit."""
    last: Counts
    """Rows in each bin at the last moment."""
    medians: Mapping[str, float | None]
    """Of `fit` and `last`; None for text."""
    moved: Movement
    gaps: Movement
    """The same of the share that is missing."""

    @classmethod
    def learn(
        cls, values: NDArray[Any], rows: Mapping[float, NDArray[np.int64]], chosen: Sequence[float]
    ) -> tuple[Self, Counts]:
        """From a column, and the counts at each moment beside it, shape (moments, bins).

        rows: moment in seconds -> its rows, oldest first. chosen: the moments of the fit; they make the bins.
        """
        base = values[np.concatenate([rows[each] for each in chosen])]
        bins = Bins.of(base)
        counted = np.stack([bins.counts(values[each]) for each in rows.values()])
        days = np.array(list(rows)) / 86_400
        found = cls(
            bins=bins,
            fit=scaled(bins.counts(base), round(len(base) / len(chosen))),
            last=counted[-1],
            medians={"fit": median(base), "last": median(values[rows[max(rows)]])},
            moved=Movement.of(counted, days),
            gaps=Movement.of(gaps(counted), days),
        )
        return found, counted

    def counts(self, against: Against) -> Counts:
        return self.fit if against == "fit" else self.last

    def change(self, against: Against, now: Counts, values: NDArray[Any]) -> str:
        """What moved, in words: the median, and the bin whose share moved most."""
        p, q = shares(self.counts(against)), shares(now)
        most = int(np.argmax(np.abs(p - q)))
        told = f"share {self.label(most)}: {p[most]:.1%} -> {q[most]:.1%}"
        if self.bins.categories is not None:
            return told
        return f"median {number(self.medians[against])} -> {number(median(values))}, {told}"

    def label(self, place: int) -> str:
        """The words for a bin."""
        if self.bins.categories is not None:
            return [*self.bins.categories, "unseen before", "missing"][place]
        edges = self.bins.edges
        if place >= len(edges):
            return "missing" if place > len(edges) else f"above {number(edges[-1])}" if edges else "a number"
        if place == 0:
            return f"below {number(above(edges[0]))}"
        least, most = above(edges[place - 1]), edges[place]
        return f"of {number(most)}" if least == most else f"{number(least)} to {number(most)}"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **self.bins.document(),
            "fit": self.fit.tolist(),
            "last": self.last.tolist(),
            "medians": dict(self.medians),
            "moved": self.moved.points,
            "gaps": self.gaps.points,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """What `document` wrote."""
        moved, missed = (
            Movement(tuple((float(lag), float(far)) for lag, far in document[each]))
            for each in ("moved", "gaps")
        )
        fit, last = (np.array(document[each], dtype=np.int64) for each in ("fit", "last"))
        return cls(Bins.of_document(dict(document)), fit, last, document["medians"], moved, missed)


def above(edge: float) -> float:
    """The smallest number beyond an edge."""
    return float(np.nextafter(edge, np.inf))


def number(value: float | None) -> str:
    """A number in words: three digits, or whole."""
    if value is None:
        return "nothing"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value + 0.0:.3g}"


def missing_change(then: Counts, now: Counts) -> str:
    return f"missing {shares(then)[-1]:.1%} -> {shares(now)[-1]:.1%}"


def shares(counts: Counts) -> NDArray[np.float64]:
    return np.asarray(counts / max(int(counts.sum()), 1), dtype=np.float64)


def scaled(counts: Counts, rows: int) -> Counts:
    """The same shares of so many rows: a customer who stands at twelve moments is still one customer."""
    return np.rint(counts * (rows / counts.sum())).astype(np.int64)


def median(values: NDArray[Any]) -> float | None:
    """Of the numbers that are there; None for text or where there are none."""
    there = values[~missing(values)]
    return None if not len(there) or is_text(values) else float(np.median(numbers(there)))

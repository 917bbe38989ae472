"""Intervals that hold as often as they say, from residuals on customers that the model was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import Numbers

SMALLEST_BIN = 100
"""Of fewer rows the ends are noise, and the widest of several windows would be the noisiest."""


@dataclass(frozen=True)
class Intervals:
    """Split conformal prediction within bins of the predicted value (Mondrian; Vovk et al. 2005).

    The score of a customer is actual / (predicted + unit); bin i covers predictions in edges[i-1]..edges[i]
    and answers with (predicted + unit) times its ends low[i], high[i]. Where more of a bin's customers
    than half the error rate spent nothing, the lower end is 0 and all of the error is left above.

    Customers of one window share its season, and the next window has another: residuals of several windows
    are not pooled, but the widest ends that any of them asked for are taken.
    """

    edges: Numbers
    low: Numbers
    high: Numbers
    unit: float

    @classmethod
    def fit(
        cls,
        predicted: Numbers,
        actual: Numbers,
        coverage: float,
        moments: NDArray[Any] | None = None,
        most_bins: int = 10,
    ) -> Self:
        """Ends of each bin; needs a row. `moments`: the window of each row, one for all when None.

        A bin holds SMALLEST_BIN rows of a window or more where windows have so many.
        """
        window = np.unique(np.zeros(len(predicted)) if moments is None else moments, return_inverse=True)[1]
        usual = len(predicted) // (int(window.max()) + 1)
        bins = max(1, min(most_bins, usual // SMALLEST_BIN))
        edges = np.unique(np.quantile(predicted, np.arange(1, bins) / bins))
        unit = 0.01 * float(predicted.mean()) + 1e-9
        scores, member = actual / (predicted + unit), np.searchsorted(edges, predicted, side="right")
        ends = [
            widest(scores[member == index], window[member == index], 1 - coverage)
            for index in range(len(edges) + 1)
        ]
        return cls(edges, np.array([each[0] for each in ends]), np.array([each[1] for each in ends]), unit)

    def __call__(self, predicted: Numbers) -> tuple[Numbers, Numbers]:
        """Lower and upper ends, 0 <= low <= predicted <= high."""
        member = np.searchsorted(self.edges, predicted, side="right")
        low, high = ((predicted + self.unit) * ends[member] for ends in (self.low, self.high))
        return np.clip(low, 0, predicted), np.maximum(high, predicted)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "edges": self.edges.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "unit": self.unit,
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        edges, low, high = (np.array(document[name], dtype=np.float64) for name in ("edges", "low", "high"))
        return cls(edges, low, high, document["unit"])


def widest(scores: Numbers, window: NDArray[np.int64], error: float) -> tuple[float, float]:
    """The lowest lower and the highest upper end of the windows; those of few rows count together."""
    counts = np.bincount(window) if len(window) else np.zeros(0)
    enough = counts >= SMALLEST_BIN / 4
    groups = [window == each for each in np.flatnonzero(enough)] or [np.ones(len(scores), dtype=bool)]
    ends = [quantiles(scores[group], error) for group in groups]
    return min(each[0] for each in ends), max(each[1] for each in ends)


def quantiles(scores: Numbers, error: float) -> tuple[float, float]:
    """Conformal quantiles: ranks out of n + 1, so that the coverage holds for finite n."""
    if not len(scores):
        return 0.0, 1.0
    ordered, n = np.sort(scores), len(scores)
    below = 0.0 if (scores <= 0).mean() > error / 2 else error / 2
    first = int(np.floor((n + 1) * below)) - 1
    last = int(np.ceil((n + 1) * (1 - error + below))) - 1
    return (float(ordered[first]) if first >= 0 else 0.0), float(ordered[min(last, n - 1)])

"""What is unusual, judged by the past of the same thing alone: one rule for every check.

A value is unusual when it lies outside everything that was seen before, by more than BEYOND times its spread.
The spread is robust (median absolute deviation), and never less than what counting alone makes uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEWEST = 5
"""With fewer values of the past nothing is called unusual."""

BEYOND = 3.0
"""Spreads outside of all that was seen."""

SIGMA = 1.4826
"""Median absolute deviation to standard deviation, for normal values (Rousseeuw & Croux 1993)."""


def spread(past: Sequence[float]) -> float:
    """Robust standard deviation of past values; 0 where most are equal."""
    values = np.asarray(past, dtype=np.float64)
    return float(SIGMA * np.median(np.abs(values - np.median(values))))


def bounds(past: Sequence[float], noise: float = 0.0) -> tuple[float, float] | None:
    """Least and most that is usual; None where the past is too short to say. noise: least spread."""
    if len(past) < FEWEST:
        return None
    width = BEYOND * max(spread(past), noise)
    return float(min(past) - width), float(max(past) + width)


def share_noise(share: float, rows: int) -> float:
    """Standard deviation of a share that was counted on so many rows; that of one row at least."""
    rows = max(rows, 1)
    return float(max(np.sqrt(share * (1 - share) / rows), 1 / rows))

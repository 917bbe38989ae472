"""Freshness: how long a table has been silent, against its own rhythm."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np

from patron.quality.tables import Source

QUIET = 0.998
"""Share of the past gaps that a silence must exceed: with daily rows, all but the longest of two years."""

FEWEST = 10
"""With fewer gaps between days the rhythm is not known."""


def freshness(source: Source, now: datetime) -> dict[str, Any] | None:
    """How old the newest row is, and how long silences usually are; None where rows tell no time.

    A table that is imported in batches is silent between them: the usual time between imports is added.
    """
    if source.newest is None:
        return None
    gaps = day_gaps(source)
    silent = max(0, (now.date() - source.newest.date()).days)
    usual = longest(gaps) + longest(import_gaps(source.imported), 1) if len(gaps) >= FEWEST else None
    return {
        "newest": source.newest.isoformat(),
        "silent_days": silent,
        "usual_days": usual,
        "days_with_rows": len(gaps) + 1,
        "longest_gap_days": max(gaps, default=None),
        "alarm": usual is not None and silent > usual,
    }


def day_gaps(source: Source) -> list[int]:
    """Days between one day with rows (UTC) and the next, oldest first."""
    days = source.ask(
        f"SELECT DISTINCT {source.day} FROM {source.table} WHERE {source.time} IS NOT NULL ORDER BY 1"
    )
    return [int(each) for each in np.diff([day for (day,) in days])]


def import_gaps(imported: Sequence[datetime]) -> list[int]:
    """Whole days between imports."""
    return [(after - before).days for before, after in pairwise(imported)]


def longest(gaps: Sequence[int], fewest: int = FEWEST) -> int:
    """The gap that all but a few do not exceed; 0 where there are fewer."""
    if len(gaps) < fewest:
        return 0
    return int(np.quantile(gaps, QUIET, method="higher"))


def said(table: str, found: dict[str, Any]) -> str:
    return (
        f"{table} has been silent for {found['silent_days']} days; it usually is for at most "
        f"{found['usual_days']}. Import what is new: patron import"
    )

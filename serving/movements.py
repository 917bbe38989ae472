"""`patron movements`: who is in another group than at an earlier scoring."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from patron.errors import NoScores, UsageError
from patron.settings import Settings
from serving import score_history
from serving.batch import FORMATS, writer


def moved(settings: Settings, since: str | None = None, to: Path | None = None) -> dict[str, Any]:
    """Transition matrices from `since` (the scoring before the newest by default) to the newest scoring.

    to: a file to write, one row for each customer and dimension that changed. Returns {"movements"}, and with
    a file {"path", "customers"}. Raises NoScores without two scorings, UsageError for another date or suffix.
    """
    if to is not None and to.suffix not in FORMATS:
        raise UsageError(f"{to.name} has no suffix of {', '.join(FORMATS)}; it says how to write the file.")
    known = score_history.moments(settings)
    if len(known) < 2:
        raise NoScores(
            f"There are {len(known)} scorings; movements need two. Score: patron score --history 1"
        )
    start, end = day(since) if since else known[-2], known[-1]
    if start >= end:
        raise UsageError(f"The newest scoring is as of {end}; movements need an earlier one. Found {start}.")
    found: dict[str, Any] = {"movements": score_history.movements(settings, start, end)}
    if to is not None:
        table = score_history.moved(settings, start, end)
        with writer(to, table.schema) as write:
            write(table.to_pydict())
        found |= {"path": str(to), "customers": len(table["customer_id"].unique())}
    return found


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"'{text}' is not a date. Expected one such as 2017-12-05.") from None

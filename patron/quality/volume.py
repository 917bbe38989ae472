"""Volume: rows a week, and weeks with far fewer or more than those just before them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from patron.quality.tables import Source
from patron.quality.usual import BEYOND, bounds, spread

BEFORE = 4
"""Weeks whose median a week is compared with: near enough that a season moves with it."""

FIRST = date(1969, 12, 29)
"""The Monday of the week that 1970 began in."""

SHOWN = 53
"""Weeks in the report."""


def volume(source: Source, now: datetime) -> dict[str, Any] | None:
    """Rows of each whole week (Monday to Sunday, UTC); None where rows tell no time.

    The last whole week is judged; weeks of the past that stood out are only named.
    """
    if source.newest is None or source.first is None:
        return None
    weeks = counted(source, now)
    changes = compared(list(weeks.values())) if steady(list(weeks.values())) else {}
    found: dict[str, Any] = {
        "weeks": {f"{week:%Y-%m-%d}": rows for week, rows in list(weeks.items())[-SHOWN:]},
        "unusual": [f"{list(weeks)[at]:%Y-%m-%d}" for at in standing_out(changes)],
        "alarm": False,
    }
    if changes:
        usual = bounds(list(changes.values())[:-1])
        last = changes[max(changes)]
        found["change_last"] = math.exp(last)
        found["usual"] = usual and tuple(math.exp(each) for each in usual)
        found["alarm"] = usual is not None and not usual[0] <= last <= usual[1]
    return found


def counted(source: Source, now: datetime) -> dict[date, int]:
    """Monday -> rows, of every whole week between the first and the newest row, empty ones too."""
    assert source.first is not None and source.newest is not None
    rows = dict(
        source.ask(
            f"SELECT ({source.day} + 3) // 7, count(*) FROM {source.table} "
            f"WHERE {source.time} IS NOT NULL GROUP BY 1"
        )
    )
    week = monday(source.first) + timedelta(days=7)
    last = min(monday(source.newest), monday(now))
    found = {}
    while week < last or (week == last and whole(source, week, now)):
        found[week] = int(rows.get((week - FIRST).days // 7, 0))
        week += timedelta(days=7)
    return found


def whole(source: Source, week: date, now: datetime) -> bool:
    """Whether the newest row's week is over, and was when it was imported: its rows may end within it."""
    assert source.newest is not None
    end = week + timedelta(days=7)
    seen = [source.newest.date() + timedelta(days=1), *(each.date() for each in source.imported[-1:])]
    return now.astimezone(UTC).date() >= end and max(seen) >= end


def steady(rows: list[int]) -> bool:
    """Whether rows come in nearly all weeks: of a table that is filled by campaigns nothing is told."""
    return bool(rows) and sum(each > 0 for each in rows) >= 0.9 * len(rows)


def monday(moment: datetime) -> date:
    day = moment.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


def compared(rows: list[int]) -> dict[int, float]:
    """Place of a week -> logarithm of its rows over the median of the weeks before it."""
    return {
        at: math.log((rows[at] + 1) / (float(np.median(rows[at - BEFORE : at])) + 1))
        for at in range(BEFORE, len(rows))
    }


def standing_out(changes: dict[int, float]) -> list[int]:
    """Weeks far from the usual change, the last ten of them."""
    values = list(changes.values())
    width = 2 * BEYOND * spread(values) if values else 0.0
    return [at for at, change in changes.items() if width and abs(change - np.median(values)) > width][-10:]


def said(table: str, found: dict[str, Any]) -> str:
    week, rows = list(found["weeks"].items())[-1]
    low, high = found["usual"]
    return (
        f"{table}: {rows:,} rows in the week of {week}, {found['change_last']:.2f} times the weeks before; "
        f"usually {low:.2f} to {high:.2f} times"
    )

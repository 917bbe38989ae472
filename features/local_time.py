"""Days and hours as the shop's own clock shows them, in whole numbers that every engine computes alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from features.view import DAY

if TYPE_CHECKING:
    import ibis


YEAR = 366 * DAY


def local(at: ibis.Value, time_zone: str, until: int) -> ibis.Value:
    """Epoch seconds before `until` as seconds of the local calendar, whose whole days are the shop's."""
    import ibis

    turns = offsets(time_zone, -(-until // YEAR) * YEAR)
    branches = [(at >= start, offset) for start, offset in turns[:0:-1]]
    offset = ibis.cases(*branches, else_=turns[0][1]) if branches else ibis.literal(turns[0][1])
    return at + offset.cast("int64")


def weekday(days: ibis.Value) -> ibis.Value:
    """0 for Monday to 6 for Sunday, of days counted from 1970-01-01, a Thursday."""
    return (days + 3) % 7


@lru_cache(maxsize=64)
def offsets(time_zone: str, until: int) -> list[tuple[int, int]]:
    """(from when, seconds ahead of UTC) since 1970, the oldest first; the first holds for earlier times."""
    zone = ZoneInfo(time_zone)
    found = [(0, ahead(zone, 0))]
    for end in range(DAY, until + DAY, DAY):
        after = ahead(zone, end)
        if after != found[-1][1]:
            found.append((turn(zone, end - DAY, end), after))
    return found


def turn(zone: ZoneInfo, low: int, high: int) -> int:
    """The first second of the new offset, between two moments of different ones."""
    before = ahead(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if ahead(zone, middle) == before else (low, middle)
    return high


def ahead(zone: ZoneInfo, at: int) -> int:
    """Seconds that a zone's clock is ahead of UTC."""
    moment = datetime.fromtimestamp(at, UTC).astimezone(zone)
    return int((moment.utcoffset() or timedelta()).total_seconds())

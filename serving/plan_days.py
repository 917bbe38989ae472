"""The day of a plan: when its contacts go out, and what of the calendar it makes up for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from patron.offers.terms import ContactRules
from patron.settings import Settings
from serving.bootstrap import Served
from serving.occasions import Calendar, closed_tickets

if TYPE_CHECKING:
    from features.rows import Rows

HOUR = timedelta(hours=1)


def clock(settings: Settings, rows: Rows) -> datetime:
    """Now, by the clock that the settings name."""
    return rows.as_of if settings.clock == "data" and rows.as_of else datetime.now(UTC)


def today(contacts: ContactRules, now: datetime) -> date:
    return now.astimezone(ZoneInfo(contacts.time_zone)).date()


def moment(contacts: ContactRules, day: date | None, now: datetime) -> datetime:
    """When the day's contacts go out: now, or on another day at its first hour that is not quiet."""
    start = now
    if day is not None and day != today(contacts, now):
        start = datetime.combine(day, datetime.min.time(), ZoneInfo(contacts.time_zone)).astimezone(UTC)
    _, end = contacts.day(start)
    hours = [start + HOUR * number for number in range(24) if start + HOUR * number < end]
    return next((each for each in hours if contacts.quiet(each) is None), start)


def days_of(
    settings: Settings, models: Mapping[str, Served], contacts: ContactRules, now: datetime
) -> Calendar:
    """The day, and the quiet days right before it: whose birthday was on a Sunday is written to on Monday."""
    noon, back = now.astimezone(ZoneInfo(contacts.time_zone)).replace(hour=12), 0
    while back < 7 and contacts.quiet(noon - timedelta(days=back + 1)) == "quiet_day":
        back += 1
    first = noon.date() - timedelta(days=back)
    return Calendar(models, first, back + 1, closed_tickets(settings, now))

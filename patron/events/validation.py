"""Judging one event by itself: is it what the contract's table `events` asks for, and if not, why.

Reasons name columns and bounds, never the values that were sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from patron.events.event import Event
from patron.lake.contract import TABLES, Column, Kind

COLUMNS = TABLES["events"]
LONGEST: dict[Kind, int] = {"id": 200, "text": 500}
"""Characters of an id, of a text."""
GRACE = timedelta(minutes=5)
"""How far a sender's clock may be ahead of ours."""
OLDEST = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST = 1e11
"""Amounts of money stay below this on either side of zero, so that the lake can hold them."""
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Refusal:
    """Why an event was not accepted: a code for machines, words for people."""

    code: str
    detail: str


class Refused(Exception):
    """Raised while judging; `judge` returns its refusal."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.refusal = Refusal(code, detail)


def judge(raw: Any, now: datetime) -> Event | Refusal:
    """The event that `raw` (from JSON) describes, or why it describes none."""
    try:
        return event(raw, now)
    except Refused as refused:
        return refused.refusal


def event(raw: Any, now: datetime) -> Event:
    """Raises Refused."""
    if not isinstance(raw, Mapping):
        raise Refused("not_an_object", "An event is a JSON object.")
    if not raw.keys() <= COLUMNS.keys():
        known = ", ".join(COLUMNS)
        raise Refused("unknown_field", f"The event has a field that there is not. There are: {known}.")
    found: dict[str, Any] = {}
    for name, column, check in CHECKS:
        value = raw.get(name)
        if value is not None:
            found[name] = check(name, column, value, now)
        elif column.required:
            raise Refused("missing", f"{name} is missing.")
    if "customer_id" not in found and "session_id" not in found:
        raise Refused("nobody", "The event names neither customer_id nor session_id.")
    return Event(**found)


def text(name: str, column: Column, value: Any, now: datetime) -> str:
    if type(value) is not str:
        raise Refused("not_text", f"{name} is not a string.")
    value = value.strip()
    if not value:
        raise Refused("empty", f"{name} is empty. Leave it out where there is none.")
    if len(value) > LONGEST[column.kind]:
        raise Refused("too_long", f"{name} is longer than {LONGEST[column.kind]} characters.")
    if UNPRINTABLE.search(value):
        raise Refused("control_characters", f"{name} holds control characters.")
    if column.values and value not in column.values:
        raise Refused("unknown_value", f"{name} is none of: {', '.join(column.values)}.")
    return value


def time(name: str, column: Column, value: Any, now: datetime) -> datetime:
    moment = instant(name, value)
    if moment > now + GRACE:
        raise Refused("in_the_future", f"{name} lies in the future.")
    if moment < OLDEST:
        raise Refused("too_old", f"{name} lies before 1970.")
    return moment


def instant(name: str, value: Any) -> datetime:
    """A moment in UTC from text. Raises Refused for what is none, and for one without an offset from UTC."""
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise Refused("not_a_time", f"{name} is not a time such as 2026-01-31T12:00:00Z.") from None
    raise Refused("no_time_zone", f"{name} has no time zone. End it with Z, or with an offset from UTC.")


def money(name: str, column: Column, value: Any, now: datetime) -> float:
    if type(value) not in (int, float):
        raise Refused("not_a_number", f"{name} is not a number.")
    if not -LARGEST < value < LARGEST or not math.isfinite(value):
        raise Refused("out_of_range", f"{name} is not between -{LARGEST:g} and {LARGEST:g}.")
    return float(value)


KINDS: dict[Kind, Callable[[str, Column, Any, datetime], Any]] = {
    "id": text,
    "text": text,
    "time": time,
    "money": money,
}
CHECKS = [(name, column, KINDS[column.kind]) for name, column in COLUMNS.items()]

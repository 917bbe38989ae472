"""Bringing accepted and declined offers from the event log into the accounts, each exactly once.

The position in the event log stands in the decisions' file and changes in the transaction that books the
events before it. A service that is killed in between finds them again; none is booked twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from patron.decisions import booking
from patron.events.log import EventLog

POSITION = "events"
LOG = "event_log"


class Answered(NamedTuple):
    """An event about a showing, as the log has it."""

    seq: int
    name: str
    showing_id: str
    customer_id: str | None
    occurred_at: str
    value: float | None


@dataclass(frozen=True)
class News:
    """What the event log holds after a position, up to another."""

    log_id: str
    start: int
    end: int
    events: Sequence[Answered]


def position(connection: Any, log_id: str) -> int:
    """How far this event log was read; 0 where it is another one than before."""
    found = dict(connection.execute("select key, value from meta where key in (?, ?)", (POSITION, LOG)))
    return int(found.get(POSITION, 0)) if found.get(LOG) == log_id else 0


def news(log: EventLog, start: int) -> News | None:
    """What came after number `start`; None where nothing at all did."""
    log_id = log.log_id()
    if log_id is None:
        return None
    end, rows = log.offer_answers(start)
    return News(log_id, start, end, [Answered(*row) for row in rows]) if end > start else None


def book(connection: Any, found: News, budgets: Mapping[str, float | None]) -> int:
    """Book what is new, and the position with it; how many showings were answered.

    Another process may have booked a part of it meanwhile. budgets: offer -> its budget as of now.
    """
    reached = position(connection, found.log_id)
    booked = sum(apply(connection, each, budgets) for each in found.events if each.seq > reached)
    if found.end > reached:
        put = "insert or replace into meta values (?, ?), (?, ?)"
        connection.execute(put, (LOG, found.log_id, POSITION, str(found.end)))
    return booked


def apply(connection: Any, event: Answered, budgets: Mapping[str, float | None]) -> bool:
    """Book one event; whether it answered a showing. One that names another customer does not count.

    A purchase with an offer whose cost is held takes it up, with or without an acceptance.
    """
    found = booking.showing(connection, event.showing_id)
    if found is None or event.customer_id not in (None, found.customer_id):
        return False
    came_to = "known"
    if event.name == "offer_accepted" or (event.name == "purchase" and found.money == "held"):
        came_to = booking.accept(connection, found, budgets)
    elif event.name == "offer_declined":
        came_to = booking.decline(connection, found)
    if came_to != "known":
        booking.answered(connection, found.showing_id, came_to, event.occurred_at)
    booking.valued(connection, found.showing_id, event.name, event.value)
    return came_to != "known"

"""What a customer did: one event, as the log keeps it and the models read it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event of the contract's table `events`. Made by name; a named tuple, because reading makes many."""

    event_id: str
    occurred_at: datetime
    """With its time zone; the log gives it back in UTC."""
    name: str
    customer_id: str | None = None
    session_id: str | None = None
    product_id: str | None = None
    query: str | None = None
    value: float | None = None
    currency: str | None = None
    recommendation_id: str | None = None
    decision_id: str | None = None


def written(moment: datetime) -> str:
    """A moment as text that sorts as the moments do: UTC, always with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def row_of(event: Event) -> tuple[Any, ...]:
    """The event's values in the order of its fields, the time as text."""
    return (event.event_id, written(event.occurred_at), *event[2:])


def event_of(row: Sequence[Any]) -> Event:
    """The event whose values `row_of` gave."""
    return Event._make((row[0], datetime.fromisoformat(row[1]), *row[2:]))

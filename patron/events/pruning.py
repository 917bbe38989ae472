"""What the log may forget: events that the lake has held for weeks. Ids that were seen stay known."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

from patron.events.event import written
from patron.events.log import EventLog

BATCH = 5000
"""Rows that are removed at a time, so that nobody waits long to append."""


def prune(log: EventLog, events: int, updates: int, oldest: datetime) -> int:
    """Remember that everything up to these numbers is in the lake, and remove events that were by `oldest`.

    Updates are never removed, for a service may start from a catalogue of any age; those that were in the
    lake by then are folded into one for each id. Returns how many events were removed.
    """
    log.database.write(partial(remember, events=events, updates=updates))
    reached = log.database.write(partial(reached_by, oldest=written(oldest)))
    if reached is None:
        return 0
    removed = 0
    while batch := log.database.write(partial(remove, last=reached[0])):
        removed += batch
    log.database.write(partial(fold, last=reached[1]))
    return removed


def remember(connection: Any, events: int, updates: int) -> None:
    query = "select events_seq, updates_seq from flushes order by seq desc limit 1"
    if connection.execute(query).get != (events, updates):
        connection.execute(
            "insert into flushes (events_seq, updates_seq, flushed_at) values (?, ?, ?)",
            (events, updates, written(datetime.now(UTC))),
        )


def reached_by(connection: Any, oldest: str) -> tuple[int, int] | None:
    """(event, update) that the lake had reached by a moment; older notes of it are removed."""
    found: tuple[int, int, int] | None = connection.execute(
        "select seq, events_seq, updates_seq from flushes where flushed_at <= ? order by seq desc limit 1",
        (oldest,),
    ).get
    if found is None:
        return None
    connection.execute("delete from flushes where seq < ?", (found[0],))
    return found[1], found[2]


def remove(connection: Any, last: int) -> int:
    connection.execute(
        "delete from events where seq in (select seq from events where seq <= ? order by seq limit ?)",
        (last, BATCH),
    )
    return int(connection.changes())


def fold(connection: Any, last: int) -> None:
    """Make one of all updates of the same id up to number `last`; it stands in the place of the newest."""
    several = connection.execute(
        "select kind, id from updates where seq <= ? group by kind, id having count(*) > 1", (last,)
    ).fetchall()
    for kind, id in several:
        rows = connection.execute(
            "select seq, body from updates where kind = ? and id = ? and seq <= ? order by seq",
            (kind, id, last),
        ).fetchall()
        body: dict[str, Any] = {}
        for _, text in rows:
            body |= json.loads(text)
        newest = rows[-1][0]
        connection.execute("delete from updates where kind = ? and id = ? and seq < ?", (kind, id, newest))
        put = "update updates set body = ? where seq = ?"
        connection.execute(put, (json.dumps(body, ensure_ascii=False), newest))

"""Events that were refused, kept with the reason, so that they can be judged again once it is gone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from patron.events.event import Event, row_of, written
from patron.events.log import EventLog, digest, insert
from patron.events.validation import Refusal, judge

KEPT = 100_000
"""Refused events that are kept; the oldest go first."""
TRIMMED_EVERY = 1000
BATCH = 500


@dataclass(frozen=True)
class Kept:
    """One event in quarantine. `times`: how often the same was sent."""

    seq: int
    received_at: str
    times: int
    code: str
    detail: str
    event: Any


@dataclass(frozen=True)
class Outcome:
    """What became of a request's events: positions of those refused, and why."""

    accepted: int
    duplicates: int
    refused: list[tuple[int, Refusal]]


def receive(log: EventLog, raw: Sequence[Any], now: datetime) -> Outcome:
    """Judge events one by one; put the good ones into the log and the others into the quarantine.

    Both are on disk when this returns. Raises EventLogError when nothing can be written.
    """
    judged = [judge(each, now) for each in raw]
    events = [each for each in judged if isinstance(each, Event)]
    refused = [(place, each) for place, each in enumerate(judged) if isinstance(each, Refusal)]
    rows = [(digest(each.event_id), row_of(each)) for each in events]
    kept = [kept_row(raw[place], refusal, now) for place, refusal in refused]

    def work(connection: Any) -> int:
        for row in kept:
            keep(connection, row)
        return sum(insert(connection, *each) for each in rows)

    accepted = log.database.write(work) if judged else 0
    return Outcome(accepted, len(events) - accepted, refused)


def kept_row(raw: Any, refusal: Refusal, now: datetime) -> tuple[Any, ...]:
    body = json.dumps(raw)
    name = hashlib.blake2b(body.encode(), digest_size=16).digest()
    return name, written(now), refusal.code, refusal.detail, body


def keep(connection: Any, row: tuple[Any, ...]) -> None:
    """Put one into the quarantine; one that lies there already is counted."""
    seq = connection.execute(
        "insert into quarantine (digest, received_at, code, detail, body) values (?, ?, ?, ?, ?) "
        "on conflict (digest) do update set times = times + 1, received_at = excluded.received_at, "
        "code = excluded.code, detail = excluded.detail returning seq",
        row,
    ).get
    if seq % TRIMMED_EVERY == 0:
        connection.execute("delete from quarantine where seq <= ?", (seq - KEPT,))


def quarantined(log: EventLog, limit: int = 50, after: int = 0) -> list[Kept]:
    """What lies in the quarantine, in the order in which it came, from number `after` on."""
    connection = log.database.reader()
    if connection is None:
        return []
    columns = "seq, received_at, times, code, detail, body"
    query = f"select {columns} from quarantine where seq > ? order by seq limit ?"
    rows = connection.execute(query, (after, limit)).fetchall()
    return [
        Kept(seq, received_at, times, code, detail, json.loads(body))
        for seq, received_at, times, code, detail, body in rows
    ]


def reasons(log: EventLog) -> dict[str, int]:
    """Code -> how many lie in the quarantine for it, the most frequent first."""
    connection = log.database.reader()
    if connection is None:
        return {}
    query = "select code, count(*) from quarantine group by code order by 2 desc, 1"
    return dict(connection.execute(query).fetchall())


def replay(log: EventLog, now: datetime) -> dict[str, int]:
    """Judge again all that is quarantined; what is valid now moves to the log.

    Returns {"judged", "accepted", "duplicates", "refused"}; the last three add up to the first.
    """
    counts = {"judged": 0, "accepted": 0, "duplicates": 0, "refused": 0}
    last = 0
    while batch := quarantined(log, BATCH, last):
        last = batch[-1].seq
        judged = [(each.seq, judge(each.event, now)) for each in batch]
        accepted, duplicates = log.database.write(partial(move, judged))
        counts["judged"] += len(batch)
        counts["accepted"] += accepted
        counts["duplicates"] += duplicates
        counts["refused"] += len(batch) - accepted - duplicates
    return counts


def move(judged: Sequence[tuple[int, Event | Refusal]], connection: Any) -> tuple[int, int]:
    """Move the valid ones of (number, verdict) into the log; (accepted, duplicates)."""
    valid = [(seq, each) for seq, each in judged if isinstance(each, Event)]
    accepted = 0
    for seq, event in valid:
        connection.execute("delete from quarantine where seq = ?", (seq,))
        if connection.changes():
            accepted += insert(connection, digest(event.event_id), row_of(event))
    return accepted, len(valid) - accepted

"""Proof that live and batch are one feature: the event log at a cutoff held against the snapshot of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from features import customer_browsing as batch
from features.build import index
from features.live import browsing
from features.offline import part
from patron.events.event import Event, written
from patron.events.log import EventLog
from patron.lake.sql import literal
from patron.lake.tables import Lake
from patron.settings import Settings

Row = tuple[str, str | None, str | None]
MOST = 10_000
"""Events of one customer that are looked at."""


def check(settings: Settings, cutoff: datetime, customers: int = 500) -> dict[str, Any]:
    """Compute the live features as they were at `cutoff`, and compare every value with the snapshot.

    Customers of whom log and lake do not hold the same events are left out: an import may have brought some,
    the log forgets, what came after the last flush is not in the lake yet, and a sign-in that arrived late
    may have given events to somebody else after they were moved.
    Returns {"customers", "left_out", "differences": {reference: count}}; none where there is no snapshot.
    """
    if f"{cutoff:%Y-%m-%d}" not in index(settings)["views"].get(batch.VIEW.name, {}):
        return {"customers": 0, "left_out": 0, "differences": {}}
    log = EventLog(settings.events)
    try:
        expected = snapshot(settings, cutoff)
        everybody, apart = told_apart(settings, log, cutoff)
        told = sorted((everybody | set(expected)) - apart)
        chosen = np.random.default_rng(settings.seed).permutation(told)[:customers]
        differences: dict[str, int] = {}
        for name in map(str, chosen):
            for field in unequal(live(log, name, cutoff), expected.get(name)):
                reference = f"{batch.VIEW.name}:{field}"
                differences[reference] = differences.get(reference, 0) + 1
        return {"customers": len(chosen), "left_out": len(apart), "differences": differences}
    finally:
        log.close()


def snapshot(settings: Settings, cutoff: datetime) -> dict[str, dict[str, Any]]:
    """Customer -> field -> value."""
    import pyarrow.parquet as pq

    rows = pq.ParquetFile(part(settings, batch.VIEW.name, cutoff)).read().to_pylist()
    return {row["customer_id"]: row for row in rows}


def told_apart(settings: Settings, log: EventLog, cutoff: datetime) -> tuple[set[str], set[str]]:
    """Customers with events in the log in the days before the cutoff, and those whose events differ."""
    start = cutoff - timedelta(days=batch.DAYS)
    logged = log.between(start, cutoff)
    in_lake = lake_events(settings, start, cutoff)
    owner = {event: who for event, _, who in logged}
    odd = owner.keys() ^ {event for event, _, _ in in_lake}
    odd |= {event for event, _, who in in_lake if who is not None and owner.get(event) != who}
    both = [*logged, *in_lake]
    sessions = {session for event, session, _ in both if event in odd and session is not None}
    apart = {who for event, session, who in both if event in odd or session in sessions}
    return set(owner.values()) - {None}, apart - {None}  # type: ignore[return-value]


def lake_events(settings: Settings, start: datetime, end: datetime) -> list[Row]:
    """(event_id, session_id, customer_id) of the lake's events from `start` and before `end`."""
    import duckdb

    files = [str(path) for path in Lake(settings.lake).files("events")]
    if not files:
        return []
    query = (
        f"select event_id, session_id, customer_id from read_parquet({literal(files)}) "
        "where occurred_at >= ? and occurred_at < ?"
    )
    with duckdb.connect(config={"threads": settings.threads}) as engine:
        return engine.execute(query, [start, end]).fetchall()


def live(log: EventLog, customer_id: str, cutoff: datetime) -> dict[str, Any] | None:
    """The live features as they would have been computed at `cutoff`."""
    events = [each for each in log.recent(customer_id, None, MOST) if each.occurred_at < cutoff]
    signed = {each.session_id for each in events if each.customer_id is not None}
    signed |= {session for session, at in log.signed_in(customer_id).items() if at < written(cutoff)}
    return browsing([each for each in events if known(each, signed)], cutoff)


def known(event: Event, signed: set[str | None]) -> bool:
    """Whether it was known at the cutoff whose event this is."""
    return event.customer_id is not None or event.session_id in signed


def unequal(found: dict[str, Any] | None, expected: dict[str, Any] | None) -> list[str]:
    """Fields that differ; all where one of the two has no row."""
    if found is None or expected is None:
        return [] if found is expected else list(batch.fields())
    return [field for field in batch.fields() if plain(found[field]) != plain(expected[field])]


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value

"""Moving the log into the lake, exactly once, however often and wherever it is cut short.

How far the log was read stands in the lake's manifest, which is replaced in one step together with the files
that hold what was read: either both happened or neither. Only then may the log forget, and it does so late,
because live answers need the last weeks.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patron.events import updates
from patron.events.log import EventLog
from patron.events.pruning import prune
from patron.events.quarantine import reasons
from patron.lake.commit import Written, only_writer, publish, staging, sweep
from patron.lake.contract import ARROW_SCHEMAS, TABLES
from patron.lake.filling import PARQUET, connection
from patron.lake.sql import literal, quoted, text
from patron.lake.tables import Lake
from patron.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

BATCH = 250_000
"""Events that are moved in one step."""
FULL = 500_000
"""Rows at which a file of events is left alone; smaller ones are written anew with what comes after."""
READERS_SECONDS = 24 * 3600.0
"""How long a replaced file stays for those who began to read the lake before."""
FACT = "event_log"
"""Key of the manifest under which the position stands."""
NAMES = ", ".join(quoted(name) for name in TABLES["events"])


@dataclass(frozen=True)
class Position:
    """How far the lake has read which log: numbers of the last event and the last update."""

    log_id: str
    events: int = 0
    updates: int = 0


def position(lake: Lake, log_id: str) -> Position:
    """Where the lake stands in this log; at its beginning where it has read none, or another."""
    found = lake.facts().get(FACT)
    return Position(**found) if found and found["log_id"] == log_id else Position(log_id)


def flush(settings: Settings, log: EventLog) -> dict[str, Any]:
    """Move what is new in the log into the lake; gives the counts.

    {"events": {"read", "accepted", "duplicate"}, "updates": {table: {"read", "changed", "new"}}, "pruned"}.
    Raises LakeError while something else writes the lake.
    """
    report: dict[str, Any] = {
        "events": {"read": 0, "accepted": 0, "duplicate": 0},
        "updates": {},
        "pruned": 0,
    }
    log_id = log.log_id()
    if log_id is None:
        return report
    with only_writer(settings.home):
        sweep(settings.home, Lake(settings.lake), READERS_SECONDS)
        while step(settings, log, position(Lake(settings.lake), log_id), report):
            pass
        reached = position(Lake(settings.lake), log_id)
    oldest = datetime.now(UTC) - timedelta(days=settings.event_log_days)
    report["pruned"] = prune(log, reached.events, reached.updates, oldest)
    return report


def step(settings: Settings, log: EventLog, start: Position, report: dict[str, Any]) -> bool:
    """Move one batch; whether there was any. The report is added to once it is moved."""
    rows = log.unflushed(start.events, BATCH)
    changes = log.changes(start.updates)
    if not rows and not changes:
        return False
    name = f"flush-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    lake = Lake(settings.lake)
    with staging(settings.home, name) as folder, connection(settings, folder) as duck:
        written, accepted = events_file(duck, lake, rows, folder, name)
        counts = {}
        for table in updates.tables(changes):
            file, counts[table] = updates.table_file(duck, lake, table, changes, folder, name)
            written.append(file)
        end = Position(
            start.log_id, rows[-1][0] if rows else start.events, changes[-1][0] if changes else start.updates
        )
        publish(lake, written, None, lake.facts()["currency"], **{FACT: asdict(end)})
    report["events"]["read"] += len(rows)
    report["events"]["accepted"] += accepted
    report["events"]["duplicate"] += len(rows) - accepted
    report["updates"] |= counts
    return True


def events_file(
    duck: duckdb.DuckDBPyConnection, lake: Lake, rows: Sequence[Any], folder: Path, name: str
) -> tuple[list[Written], int]:
    """The file of the events that the lake does not hold yet, and how many they are."""
    duck.register("incoming", arrow(rows))
    held = [str(path) for path in lake.files("events")]
    unknown = f" ANTI JOIN read_parquet({literal(held)}) USING (event_id)" if held else ""
    duck.execute(f"CREATE OR REPLACE TABLE fresh AS SELECT {NAMES} FROM incoming{unknown}")
    duck.unregister("incoming")
    accepted = count(duck, "SELECT count(*) FROM fresh")
    if not accepted:
        return [], 0
    query = f"SELECT {NAMES}, md5(CAST(row({NAMES}) AS VARCHAR)) AS row_hash FROM fresh"
    last = unfilled(lake)
    if last:
        kept = f"SELECT {NAMES}, row_hash FROM read_parquet({literal([str(lake.path / last['path'])])})"
        query = f"{kept} UNION ALL {query}"
    path = folder / "events.parquet"
    duck.execute(f"COPY ({query} ORDER BY occurred_at, event_id) TO {text(str(path))} {PARQUET}")
    total = accepted + (last["rows"] if last else 0)
    target = f"events/{name}.parquet"
    return [Written(path, target, total, instead=(last["path"],) if last else ())], accepted


def unfilled(lake: Lake) -> dict[str, Any] | None:
    """The newest file of events, where a flush wrote it and it has room."""
    files = lake.facts()["tables"].get("events", {}).get("files", [])
    last: dict[str, Any] | None = files[-1] if files else None
    return last if last and last["path"].startswith("events/flush-") and last["rows"] < FULL else None


def arrow(rows: Sequence[Any]) -> pa.Table:
    """Rows of the log (number first) as the lake's types."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = list(zip(*(row[1:] for row in rows), strict=True)) or [()] * len(TABLES["events"])
    arrays = []
    for values, name in zip(columns, TABLES["events"], strict=True):
        kind = ARROW_SCHEMAS["events"].field(name).type
        if pa.types.is_timestamp(kind):
            values = tuple(datetime.fromisoformat(each) for each in values)
        if pa.types.is_decimal(kind):
            arrays.append(pc.cast(pc.round(pa.array(values, pa.float64()), 6), kind, safe=False))
        else:
            arrays.append(pa.array(values, kind))
    return pa.table(arrays, names=list(TABLES["events"]))


def count(duck: duckdb.DuckDBPyConnection, query: str) -> int:
    answer = duck.execute(query).fetchone()
    return int(answer[0]) if answer else 0


def state(settings: Settings, log: EventLog) -> dict[str, Any]:
    """Counts of the log, of what it holds that the lake does not yet, and of the quarantine."""
    log_id = log.log_id()
    reached = position(Lake(settings.lake), log_id or "")
    counts = log.counts(reached.events, reached.updates)
    return counts | {"quarantined": sum(reasons(log).values())}

"""Lake tables as DuckDB relations, and the column by which each tells time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from patron.lake.filling import connection
from patron.lake.sql import literal, quoted
from patron.lake.tables import Lake
from patron.settings import Settings

if TYPE_CHECKING:
    import duckdb

TIMES = {
    "order_lines": "ordered_at",
    "customers": "signed_up_at",
    "events": "occurred_at",
    "exposures": "shown_at",
    "tickets": "opened_at",
    "surveys": "answered_at",
}
"""Tables whose rows arrive in the course of time."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000
"""Microseconds."""

MONTH = 28
"""Days of a block; blocks are counted back from the newest row, so that weekdays weigh the same."""


@dataclass(frozen=True)
class Source:
    """One lake table, open for questions."""

    duck: duckdb.DuckDBPyConnection
    table: str
    rows: int
    imported: tuple[datetime, ...]
    """When files of it were written, oldest first."""
    first: datetime | None = None
    newest: datetime | None = None
    """Times of the first and the newest row; None where rows tell no time."""

    @property
    def time(self) -> str:
        return quoted(TIMES[self.table])

    @property
    def block(self) -> str:
        """SQL: how many blocks of MONTH days a row lies before the newest; 0 is the last one."""
        assert self.newest is not None
        newest = round((self.newest - EPOCH) / timedelta(microseconds=1))
        return f"(({newest} - epoch_us({self.time})) // {MONTH * DAY})"

    @property
    def day(self) -> str:
        """SQL: days since 1970-01-01 (UTC) of a row. Integers: calendar arithmetic takes ten times longer."""
        return f"(epoch_us({self.time}) // {DAY})"

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of an answer. The table stands in the query under its own name."""
        return self.duck.execute(query).fetchall()


@contextmanager
def opened(settings: Settings, lake: Lake) -> Iterator[list[Source]]:
    """Every table that holds rows, within the settings' threads and memory."""
    with connection(settings, settings.home / "tmp" / "quality") as duck:
        duck.execute("SET enable_progress_bar = false")
        yield [source(duck, lake, table) for table in lake.tables() if lake.rows(table)]


def source(duck: duckdb.DuckDBPyConnection, lake: Lake, table: str) -> Source:
    files = [str(path) for path in lake.files(table)]
    duck.execute(f"CREATE VIEW {quoted(table)} AS SELECT * FROM read_parquet({literal(files)})")
    imported = tuple(sorted(each for path in lake.files(table) if (each := written(path.stem))))
    first = newest = None
    if table in TIMES:
        time = quoted(TIMES[table])
        first, newest = duck.execute(f"SELECT min({time}), max({time}) FROM {quoted(table)}").fetchall()[0]
    return Source(duck, table, lake.rows(table), imported, utc(first), utc(newest))


def utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def written(import_id: str) -> datetime | None:
    """When an import began, which its id tells; None for a file of another name."""
    try:
        return datetime.strptime(import_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None

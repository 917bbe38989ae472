"""Binding a mapping to the columns that its sources have, before anything is read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patron.errors import DataError
from patron.lake.mapping import RESERVED, ImportMapping, TableMapping
from patron.lake.sources import Staged, numbered_parquet
from patron.lake.sql import quoted, text

if TYPE_CHECKING:
    import duckdb

UNKNOWN = re.compile(r'Referenced column "([^"]+)" (?:was )?not found')


def bind(
    duck: duckdb.DuckDBPyConnection,
    table: TableMapping,
    mapping: ImportMapping,
    sources: dict[str, Staged],
    folder: Path,
) -> list[str]:
    """Create the view `source:<table>` of raw rows and give its raw columns.

    Raises DataError when an expression names a column that is not there, or does not bind otherwise.
    """
    view = quoted("source:" + table.table)
    if table.source is not None:
        duck.execute(f"CREATE VIEW {view} AS SELECT * FROM {quoted(table.source)}")
        where = ", ".join(each["name"] for each in sources[table.source].facts)
    else:
        duck.execute(f"CREATE VIEW {view} AS {answered(duck, table, sources, folder)}")
        where = f"the answer of the query for {table.table}"
    names = [row[0] for row in duck.execute(f"DESCRIBE {view}").fetchall()]
    columns = [name for name in names if name not in RESERVED]
    expressions = [*table.columns.values(), *(rule.when for rule in table.rules)]
    missing: dict[str, None] = {}
    for expression in expressions:
        column = missing_column(duck, f"SELECT ({expression}\n) FROM {view} LIMIT 0", table)
        if column:
            missing[column] = None
    if missing:
        raise DataError(missing_columns(list(missing), columns, where, table))
    return columns


def answered(
    duck: duckdb.DuckDBPyConnection, table: TableMapping, sources: dict[str, Staged], folder: Path
) -> str:
    """Run the table's query once, into a file; gives SQL for its rows, numbered in its order."""
    import duckdb

    assert table.sql is not None
    column = missing_column(duck, f"SELECT * FROM ({table.sql}\n) LIMIT 0", table)
    if column:
        found = [name for source in sources.values() for name in source.columns]
        raise DataError(missing_columns([column], found, "the files", table))
    path = folder / f"answer-{table.table}.parquet"
    try:
        duck.execute(f"COPY ({table.sql}\n) TO {text(str(path))} (FORMAT parquet)")
    except duckdb.Error as error:
        raise DataError(f"The query for {table.table} failed: {str(error).splitlines()[0]}") from None
    return numbered_parquet(path, f"{table.table} query", 0)


def missing_column(duck: duckdb.DuckDBPyConnection, query: str, table: TableMapping) -> str | None:
    """The column that a query names and nothing has.

    Raises DataError when the query does not bind for another reason.
    """
    import duckdb

    try:
        duck.execute(query)
    except duckdb.Error as error:
        unknown = UNKNOWN.search(str(error))
        if unknown:
            return unknown.group(1)
        raise DataError(
            f"The mapping of {table.table} does not fit its files: {str(error).splitlines()[0]}"
        ) from None
    return None


def missing_columns(missing: Sequence[str], found: Sequence[str], where: str, table: TableMapping) -> str:
    nearest = {name: difflib.get_close_matches(name, found, 1, 0.6) for name in missing}
    told = ", ".join(
        f"'{n}'" + (f" (did you mean '{near[0]}'?)" if near else "") for n, near in nearest.items()
    )
    lone = len(found) == 1 and any(mark in found[0] for mark in ";,\t|")
    hint = " All is in one column: set `delimiter` in the mapping." if lone else ""
    return (
        f"{table.table} needs the column{'s' if len(missing) > 1 else ''} {told}, not found in {where}. "
        f"Found: {', '.join(found)}.{hint}"
    )

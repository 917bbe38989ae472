"""Changed products, customers and offers on their way into the lake: the last value of each field wins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patron.lake.commit import Written
from patron.lake.contract import ARROW_SCHEMAS, KEYS, TABLES, TYPES, Column
from patron.lake.filling import PARQUET
from patron.lake.sql import literal, quoted, text
from patron.lake.tables import Lake

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Change = tuple[int, str, str, dict[str, Any]]
"""Number, table, id, and column -> value as JSON holds it."""
CENT_MILLIONTH = Decimal("0.000001")


def tables(changes: Sequence[Change]) -> list[str]:
    """The tables that are changed."""
    return sorted({table for _, table, _, _ in changes})


def merged(changes: Sequence[Change], table: str) -> dict[str, dict[str, Any]]:
    """Id -> the last value given of each column, of one table."""
    found: dict[str, dict[str, Any]] = {}
    for _, changed, id, body in changes:
        if changed == table:
            found.setdefault(id, {}).update(body)
    return found


def table_file(
    duck: duckdb.DuckDBPyConnection,
    lake: Lake,
    table: str,
    changes: Sequence[Change],
    folder: Path,
    name: str,
) -> tuple[Written, dict[str, int]]:
    """The whole table with its changes as a file, and how many rows were read, changed and new."""
    wanted = merged(changes, table)
    duck.register("changes", arrow(table, wanted))
    files = [str(path) for path in lake.files(table)]
    if files:
        duck.execute(f"CREATE OR REPLACE VIEW held AS SELECT * FROM read_parquet({literal(files)})")
    else:
        duck.register("nothing", ARROW_SCHEMAS[table].empty_table())
        duck.execute("CREATE OR REPLACE VIEW held AS SELECT * FROM nothing")
    path = folder / f"{table}.parquet"
    duck.execute(f"COPY ({joined(table)}) TO {text(str(path))} {PARQUET}")
    found = duck.execute(f"SELECT count(*) FROM changes SEMI JOIN held USING ({key(table)})").fetchone()
    total = duck.execute(f"SELECT count(*) FROM read_parquet({literal([str(path)])})").fetchone()
    changed = int(found[0]) if found else 0
    duck.unregister("changes")
    read = sum(each[1] == table for each in changes)
    counts = {"read": read, "changed": changed, "new": len(wanted) - changed}
    return Written(path, f"{table}/{name}.parquet", int(total[0]) if total else 0, replaces=True), counts


def joined(table: str) -> str:
    """SQL for the rows of `held` with those of `changes` in them."""
    columns = ", ".join(
        f"CASE WHEN c.{quoted('given:' + name)} THEN c.{quoted(name)} ELSE {fallback(name, column)} END "
        f"AS {quoted(name)}"
        for name, column in TABLES[table].items()
        if name != key(table)
    )
    names = ", ".join(quoted(name) for name in TABLES[table])
    rows = f"SELECT {key(table)}, {columns} FROM held h FULL JOIN changes c USING ({key(table)})"
    return (
        f"SELECT {names}, md5(CAST(row({names}) AS VARCHAR)) AS row_hash FROM ({rows}) ORDER BY {key(table)}"
    )


def fallback(name: str, column: Column) -> str:
    """What a column holds that no change gave."""
    held = f"h.{quoted(name)}"
    return held if column.default is None else f"coalesce({held}, {column.default})"


def key(table: str) -> str:
    return KEYS[table][0]


def arrow(table: str, wanted: dict[str, dict[str, Any]]) -> pa.Table:
    """One row a changed id: its columns, and beside each, as `given:<column>`, whether it was given."""
    import pyarrow as pa

    found = {key(table): pa.array(list(wanted), pa.string())}
    for name, column in TABLES[table].items():
        if name != key(table):
            values = [valued(column, body.get(name)) for body in wanted.values()]
            found[name] = pa.array(values, TYPES[column.kind])
            found[f"given:{name}"] = pa.array([name in body for body in wanted.values()], pa.bool_())
    return pa.table(found)


def valued(column: Column, value: Any) -> Any:
    """A value of JSON as the lake's type."""
    if value is None:
        return column.default
    if column.kind in ("time", "date"):
        return datetime.fromisoformat(value)
    if column.kind == "money":
        return Decimal(str(value)).quantize(CENT_MILLIONTH)
    if column.kind == "json":
        return json.dumps(value, ensure_ascii=False)
    return value

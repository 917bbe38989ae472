"""SQL that turns a source's raw rows into typed columns, each row with its rule, its hash and its faults."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from patron.lake.contract import TABLES, Column, Kind
from patron.lake.mapping import RESERVED, ImportMapping, TableMapping
from patron.lake.sql import quoted, text

DUCKDB_TYPES: dict[Kind, str] = {
    "id": "VARCHAR",
    "text": "VARCHAR",
    "time": "TIMESTAMPTZ",
    "date": "TIMESTAMPTZ",
    "number": "DOUBLE",
    "money": "DECIMAL(18, 6)",
    "flag": "BOOLEAN",
    "list": "VARCHAR[]",
    "json": "VARCHAR",
}
NOUNS: dict[Kind, str] = {
    "time": "a time",
    "date": "a date",
    "number": "a number",
    "money": "an amount of money",
    "flag": "true or false",
    "list": "a list",
    "json": "JSON",
}
OFFSET = r"(Z|[+-]\d{2}(:?\d{2})?)$"
"""How a time ends that names its own distance from UTC; so does a date alone, which is told by its length."""


def typed(kind: Kind, raw: str, mapping: ImportMapping) -> str:
    """SQL for the typed value of `raw`, a VARCHAR (a list for lists); NULL where it is not of that kind."""
    if kind in ("id", "text"):
        return f"nullif(trim({raw}), '')"
    if kind == "number":
        return f"CASE WHEN isfinite(TRY_CAST({raw} AS DOUBLE)) THEN TRY_CAST({raw} AS DOUBLE) END"
    if kind == "time":
        return instant(raw, mapping.time_zone, mapping.time_formats)
    if kind == "date":
        return instant(raw, "UTC", mapping.time_formats)
    if kind == "json":
        return f"CASE WHEN json_valid({raw}) THEN {raw} END"
    return f"TRY_CAST({raw} AS {DUCKDB_TYPES[kind]})"


def instant(raw: str, zone: str, formats: Sequence[str]) -> str:
    """SQL for a moment in UTC. A local time that a clock change skips or repeats is resolved, not refused."""
    iso = f"TRY_CAST({raw} AS TIMESTAMP)"
    written = ", ".join(text(each) for each in formats)
    local = f"coalesce(try_strptime({raw}, [{written}]), {iso})" if formats else iso
    with_offset = f"length({raw}) > 10 AND regexp_matches({raw}, {text(OFFSET)})"
    return (
        f"CASE WHEN {with_offset} AND isfinite(TRY_CAST({raw} AS TIMESTAMPTZ)) "
        f"THEN TRY_CAST({raw} AS TIMESTAMPTZ) "
        f"WHEN isfinite({local}) THEN {local} AT TIME ZONE {text(zone)} END"
    )


def raw_hash(columns: Iterable[str]) -> str:
    """SQL for the hash of a raw row, over its `text:` columns: every field with its length, sorted by name.

    NULL adds no length, so it differs from the empty string, and no two rows read alike.
    """
    names = sorted(columns)
    fields = (f"strlen({quoted('text:' + name)}), ':', {quoted('text:' + name)}, ','" for name in names)
    return f"md5(concat({text(json.dumps(names))}, {', '.join(fields)}))"


def staged_sql(table: TableMapping, columns: Sequence[str]) -> str:
    """Raw expressions as text, the rule that holds, and the raw hash; names with a colon are ours."""
    raw = [
        f"({expression}\n)::{raw_type(table, name)} AS {quoted('raw:' + name)}"
        for name, expression in table.columns.items()
    ]
    cases = " ".join(f"WHEN ({rule.when}\n) THEN {n}" for n, rule in enumerate(table.rules))
    rule = f"CASE {cases} END" if cases else "NULL"
    texts = ", ".join(f"CAST({quoted(name)} AS VARCHAR) AS {quoted('text:' + name)}" for name in columns)
    return (
        f"SELECT patron_file, patron_row, patron_seq, {raw_hash(columns)} AS raw_hash, "
        f"CAST({rule} AS INTEGER) AS rule, {', '.join(raw)} "
        f"FROM (SELECT *, {texts} FROM {quoted('source:' + table.table)})"
    )


def raw_type(table: TableMapping, column: str) -> str:
    return "VARCHAR[]" if kind(table, column) == "list" else "VARCHAR"


def kind(table: TableMapping, column: str) -> Kind:
    return TABLES[table.table][column].kind


def typed_sql(table: TableMapping, mapping: ImportMapping) -> str:
    """Typed columns (NULL where a value is not of its kind) over `staged_sql`."""
    columns = [
        f"{typed(column.kind, quoted('raw:' + name), mapping)} AS {quoted('typed:' + name)}"
        for name, column in TABLES[table.table].items()
        if name in table.columns
    ]
    return f"SELECT *, {', '.join(columns)}"


def mapped_sql(table: TableMapping, mapping: ImportMapping, staged: str) -> str:
    """The rows of the relation `staged` (what `staged_sql` gave) as the lake has them.

    Reserved columns, raw hash, rule, the lake's columns, and of wrong values `fault`, which names the first
    wrong column without its value, and `why`, all of them with their values.
    """
    lake = [f"{final(table, name, column)} AS {quoted(name)}" for name, column in TABLES[table.table].items()]
    faults = [
        fault(name, column.kind) for name, column in TABLES[table.table].items() if checked(table, name)
    ]
    first = f"coalesce({', '.join(plain for plain, _ in faults)})" if faults else "CAST(NULL AS VARCHAR)"
    every = (
        f"nullif(concat_ws('; ', {', '.join(told for _, told in faults)}), '')"
        if faults
        else "CAST(NULL AS VARCHAR)"
    )
    return (
        f"SELECT {', '.join(RESERVED)}, raw_hash, rule, {', '.join(lake)}, {first} AS fault, {every} AS why "
        f"FROM ({typed_sql(table, mapping)} FROM {staged})"
    )


def checked(table: TableMapping, name: str) -> bool:
    return name in table.columns and kind(table, name) in NOUNS


def fault(name: str, kind: Kind) -> tuple[str, str]:
    raw, typed_name = quoted("raw:" + name), quoted("typed:" + name)
    noun = NOUNS[kind]
    value = f"CAST({raw} AS VARCHAR)"
    wrong = f"nullif(trim({value}), '') IS NOT NULL AND {typed_name} IS NULL"
    told = f"{text(name + ': ' + chr(39))} || left({value}, 60) || {text(chr(39) + ' is not ' + noun)}"
    return f"CASE WHEN {wrong} THEN {text(f'{name} is not {noun}')} END", f"CASE WHEN {wrong} THEN {told} END"


def final(table: TableMapping, name: str, column: Column) -> str:
    """SQL for a column as the lake keeps it: typed, defaults filled in, returns negative."""
    if name not in table.columns:
        default = "NULL" if column.default is None else str(column.default)
        return f"CAST({default} AS {DUCKDB_TYPES[column.kind]})"
    value = quoted("typed:" + name)
    if column.default is not None:
        return f"coalesce({value}, {column.default})"
    returns = [str(n) for n, rule in enumerate(table.rules) if rule.then == "return"]
    if name == "quantity" and returns:
        return f"CASE WHEN rule IN ({', '.join(returns)}) THEN -abs({value}) ELSE {value} END"
    return value

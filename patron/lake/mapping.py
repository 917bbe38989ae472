"""The mapping language: how a shop's files become the tables of the lake. `docs/import.md` is its guide."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from patron.errors import ConfigurationError
from patron.lake.contract import KEYS, TABLES

RESERVED = ("patron_file", "patron_row", "patron_seq")
"""Columns that every source is given: the file a row came from, its number in it, and in the whole source."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SourceFile(Strict):
    """One file that the shop hands over, or several of one form."""

    format: Literal["csv", "parquet", "whitespace"]
    encoding: str = "utf-8"
    """Any codec that Python knows. A byte order mark is taken off."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str = Field(default='"', max_length=1)
    """Encloses fields that hold the delimiter or a line end. Empty: quotes are ordinary characters."""
    columns: list[str] | None = None
    """Names of the columns, where the file has no header line."""
    path: str | None = None
    """Default file, relative to the working directory or, with `package`, to that package's folder."""
    package: str | None = None
    """An installed package that carries the file. It is looked up, never imported."""

    @field_validator("encoding")
    @classmethod
    def known_codec(cls, name: str) -> str:
        try:
            "".encode(name)
            codecs.getincrementaldecoder(name)
        except LookupError:
            raise ValueError("no such encoding; Python knows utf-8, latin-1, cp1252, utf-16, ...") from None
        return name

    @field_validator("columns")
    @classmethod
    def distinct(cls, names: list[str] | None) -> list[str] | None:
        if names is not None and len(set(names)) < max(1, len(names)):
            raise ValueError("name every column once")
        return names


class Rule(Strict):
    """What happens to rows for which `when` is true. The first rule that holds decides."""

    name: str = Field(min_length=1)
    when: str
    then: Literal["skip", "return", "quarantine"]
    reason: str | None = None

    @field_validator("when")
    @classmethod
    def parses(cls, predicate: str) -> str:
        return sql_expression(predicate)


class TableMapping(Strict):
    """How one table of the lake is filled: from which rows, by which expressions."""

    table: str
    source: str | None = Field(default=None, alias="from")
    """Key of a file; each of its rows becomes a row of the table."""
    sql: str | None = Field(default=None, validate_default=True)
    """Instead of `from`: a query over the files' keys; each row of its answer becomes a row of the table."""
    columns: dict[str, str] = Field(validate_default=True)
    """Column of the lake -> SQL expression over the source's columns. A plain name is a rename."""
    rules: list[Rule] = Field(default_factory=list)
    key: list[str] | None = None
    """Columns that identify a row; a later row replaces an earlier one. Default: the contract's KEYS."""
    identical_rows: Literal["duplicate", "distinct"] = "duplicate"
    """Whether a second row, equal in every field, is the same fact again, or another one (no time of day)."""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.key) if self.key is not None else KEYS.get(self.table, ())

    @field_validator("table")
    @classmethod
    def known_table(cls, table: str) -> str:
        if table not in TABLES:
            raise ValueError(f"the lake has no such table; it has {', '.join(TABLES)}")
        return table

    @field_validator("sql")
    @classmethod
    def one_source(cls, query: str | None, info: ValidationInfo) -> str | None:
        if (query is None) == (info.data.get("source") is None):
            raise ValueError("give either `from` or `sql`")
        return query if query is None else sql_query(query)

    @field_validator("columns")
    @classmethod
    def in_contract(cls, columns: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        mistakes = list(column_mistakes(columns, TABLES.get(info.data.get("table", ""), {})))
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return columns

    @field_validator("rules")
    @classmethod
    def named_once(cls, rules: list[Rule], info: ValidationInfo) -> list[Rule]:
        if len({rule.name for rule in rules}) < len(rules):
            raise ValueError("two rules have the same name")
        if info.data.get("table") != "order_lines" and any(rule.then == "return" for rule in rules):
            raise ValueError('then = "return" is for order_lines')
        return rules

    @field_validator("key")
    @classmethod
    def mapped(cls, key: list[str] | None, info: ValidationInfo) -> list[str] | None:
        absent = [name for name in key or [] if name not in info.data.get("columns", {})]
        if absent or key == []:
            raise ValueError(f"a key needs mapped columns; not mapped: {', '.join(absent) or 'none named'}")
        return key


class ImportMapping(Strict):
    """A whole mapping file."""

    description: str
    currency: str = Field(pattern="^[A-Z]{3}$")
    time_zone: str = "UTC"
    """Zone of times that name none."""
    time_formats: list[str] = Field(default_factory=list)
    """How times are written, in strptime's letters, tried in this order; ISO 8601 is always understood."""
    files: dict[str, SourceFile] = Field(min_length=1)
    tables: list[TableMapping] = Field(min_length=1)

    @field_validator("time_zone")
    @classmethod
    def known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("no such time zone; write it like Europe/London")
        return name


def column_mistakes(columns: Mapping[str, str], known: Mapping[str, Any]) -> Iterable[str]:
    if not known:
        return
    for name in columns.keys() - known.keys():
        yield f"{name} is no column of the table; it has {', '.join(known)}"
    for name, column in known.items():
        if column.required and name not in columns:
            yield f"{name} is required and not mapped"
    for name, expression in columns.items():
        try:
            sql_expression(expression)
        except ValueError as error:
            yield f"{name}: {error}"


def sql_expression(text: str) -> str:
    """`text`, if it is one SQL expression. Raises ValueError with the parser's words."""
    sql_query(f"SELECT ({text}\n)")
    return text


def sql_query(text: str) -> str:
    """`text`, if it is one SELECT. Raises ValueError with the parser's words."""
    import json

    import duckdb

    with duckdb.connect() as connection:
        answer = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
    parsed = json.loads(answer[0]) if answer else {}
    if parsed.get("error"):
        raise ValueError(f"not SQL that DuckDB reads: {parsed['error_message']}")
    if len(parsed["statements"]) != 1:
        raise ValueError("one SELECT is wanted")
    return text


def load_mapping(folder: Path, name: str) -> ImportMapping:
    """The mapping `<folder>/<name>.toml`. Raises ConfigurationError that lists every mistake at once."""
    path = folder / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.toml"))) or "none"
        raise ConfigurationError(
            f"No mapping '{name}' in {folder}. There are: {known}. Write your own by docs/import.md"
        )
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    mistakes = list(across_tables(raw))
    try:
        mapping = ImportMapping.model_validate(raw)
    except ValidationError as error:
        mistakes = [described(each, raw) for each in error.errors()] + mistakes
    if mistakes:
        raise ConfigurationError("\n  ".join([f"{path} is wrong:", *mistakes]))
    return mapping


def described(error: Any, raw: Mapping[str, Any]) -> str:
    place = [str(part) for part in error["loc"]]
    if place[0] == "tables" and len(place) > 1:
        place[1] = str(table_name(raw["tables"][error["loc"][1]]) or int(place[1]) + 1)
    return f"{'.'.join(place)}: {error['msg'].removeprefix('Value error, ')}"


def table_name(raw: Any) -> Any:
    return raw.get("table") if isinstance(raw, dict) else None


def across_tables(raw: Mapping[str, Any]) -> Iterable[str]:
    """Mistakes that no single part of a mapping can see; tolerant of parts that are wrong themselves."""
    files = raw.get("files")
    tables = [each for each in raw.get("tables") or [] if isinstance(each, dict)]
    names = [str(each.get("table")) for each in tables]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"tables: {name} is filled twice; join its sources with UNION ALL in one `sql`"
    for each in tables:
        source = each.get("from")
        if source is not None and isinstance(files, dict) and source not in files:
            yield f"tables.{each.get('table')}.from: no file '{source}'; there are {', '.join(files)}"

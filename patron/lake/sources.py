"""A shop's files, found, checked and staged: every source becomes columns of raw text with numbered rows."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patron.errors import ConfigurationError, DataError, UsageError
from patron.files import sha256
from patron.lake.decoding import open_text
from patron.lake.mapping import RESERVED, ImportMapping, SourceFile

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 8 << 20
LINES = 50_000


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

    A mapping with one key takes any number of files. Raises UsageError or DataError that says what is missing.
    """
    chosen: dict[str, list[Path]] = {}
    plain = [each for each in arguments if not keyed(each, mapping)]
    for each in arguments:
        if keyed(each, mapping):
            key, _, path = each.partition("=")
            chosen.setdefault(key, []).append(Path(path))
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
    relation = f"SELECT * FROM read_parquet({literal([str(folder / f'{key}.{n}.parquet') for n in range(len(paths))])})"
    return Staged(key, columns, relation, malformed.path, malformed.rows, facts)


def literal(values: Iterable[str]) -> str:
    """An SQL list of strings."""
    return "[" + ", ".join("'" + each.replace("'", "''") + "'" for each in values) + "]"


class Malformed:
    """Collects rows whose number of fields is wrong; they are quarantined, never lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0

    def __enter__(self) -> Malformed:
        self._file = self.path.open("w", encoding="utf-8")
        return self

    def __exit__(self, *ignored: object) -> None:
        self._file.close()

    def add(self, name: str, row: int, sequence: int, found: int, expected: int, text: str) -> None:
        self.rows += 1
        document = {
            "patron_file": name,
            "patron_row": row,
            "patron_seq": sequence,
            "reason": f"{found} fields where {expected} were expected",
            "raw": json.dumps({"line": text}, ensure_ascii=False),
        }
        self._file.write(json.dumps(document) + "\n")


def header(path: Path, key: str, spec: SourceFile) -> list[str]:
    """Names of a text file's columns. Raises DataError when one is empty, twice there or reserved."""
    if spec.columns is not None:
        return spec.columns
    with open_text(path, key, spec) as stream:
        if spec.format == "whitespace":
            rows: Iterator[list[str]] = (line.decode().split() for line in stream)
        else:
            text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
            quoting = csv.QUOTE_MINIMAL if spec.quote else csv.QUOTE_NONE
            rows = csv.reader(text, delimiter=spec.delimiter, quotechar=spec.quote or None, quoting=quoting)
        try:
            names = next((row for row in rows if row), [])
        except csv.Error as error:
            raise DataError(f"{path.name}: the header cannot be read: {error}.") from None
    wrong = sorted({repr(each) for each in names if not each or names.count(each) > 1 or each in RESERVED})
    if wrong or not names:
        raise DataError(
            f"{path.name}: column names must be there, each once; look at {', '.join(wrong) or 'the header'}. "
            f"Where the file has no header, name its `columns` under [files.{key}] in the mapping."
        )
    return names


def stage_text(
    path: Path,
    key: str,
    spec: SourceFile,
    columns: list[str],
    target: Path,
    malformed: Malformed,
    sequence: int,
    advance: Callable[[int], None],
) -> int:
    """Write one text file's rows to `target`, numbered from 1 and in the source from `sequence` + 1.

    Gives the number of rows, malformed ones included.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    skipped: list[int] = []  # numbers of malformed rows since the last batch, ascending

    def reject(row: int, found: int, text: str) -> None:
        skipped.append(row)
        malformed.add(path.name, row, sequence + row, found, len(columns), text)

    reader = csv_batches if spec.format == "csv" else whitespace_batches
    schema = pa.schema(
        [
            *(pa.field(name, pa.string()) for name in columns),
            pa.field("patron_file", pa.string()),
            pa.field("patron_row", pa.int64()),
            pa.field("patron_seq", pa.int64()),
        ]
    )
    rows = 0
    with open_text(path, key, spec, advance) as stream, pq.ParquetWriter(target, schema) as writer:
        for batch in reader(stream, path, spec, columns, reject):
            numbers = numbered(rows, batch.num_rows, skipped)
            writer.write_batch(with_origin(batch, path.name, numbers, sequence, schema))
            rows = numbers[-1] if len(numbers) else rows
    return max([rows, *skipped])


def numbered(after: int, count: int, skipped: list[int]) -> list[int]:
    """The next `count` row numbers after `after`, leaving out the skipped ones, which are used up."""
    if not skipped:
        return list(range(after + 1, after + count + 1))
    out, numbers, row = set(skipped), [], after
    while len(numbers) < count:
        row += 1
        if row not in out:
            numbers.append(row)
    skipped[:] = [each for each in skipped if each > row]
    return numbers


def with_origin(batch: Any, name: str, numbers: list[int], sequence: int, schema: Any) -> Any:
    import pyarrow as pa

    rows = pa.array(numbers, pa.int64())
    seq = pa.array([sequence + each for each in numbers], pa.int64())
    return pa.record_batch(
        [*batch.columns, pa.array([name] * batch.num_rows, pa.string()), rows, seq], schema=schema
    )


def csv_batches(
    stream: Any, path: Path, spec: SourceFile, columns: list[str], reject: Callable[[int, int, str], None]
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    skip = 1 if spec.columns is None else 0

    def handle(row: arrow_csv.InvalidRow) -> str:
        reject(row.number - skip, row.actual_columns, row.text)
        return "skip"

    try:
        yield from arrow_csv.open_csv(
            stream,
            # one thread: only then are invalid rows numbered
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=BLOCK, column_names=columns, skip_rows_after_names=skip
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=spec.delimiter,
                quote_char=spec.quote or False,
                newlines_in_values=True,
                invalid_row_handler=handle,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: pa.string() for name in columns},
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path.name} cannot be read as CSV: {reason}. A quote that is never closed does this; where quotes "
            'are ordinary characters, set quote = "".'
        ) from None


def whitespace_batches(
    stream: Any, path: Path, spec: SourceFile, columns: list[str], reject: Callable[[int, int, str], None]
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    rows: list[list[str]] = []
    lines = (line.decode() for line in stream if line.strip())
    if spec.columns is None:
        next(lines, None)
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if len(fields) == len(columns):
            rows.append(fields)
        else:
            reject(number, len(fields), line.rstrip("\r\n"))
        if len(rows) >= LINES:
            yield text_batch(rows, len(columns), pa)
            rows = []
    if rows:
        yield text_batch(rows, len(columns), pa)


def text_batch(rows: list[list[str]], width: int, pa: Any) -> Any:
    columns = [pa.array([row[n] for row in rows], pa.string()) for n in range(width)]
    return pa.record_batch(columns, names=[str(n) for n in range(width)])


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
        parts.append(
            f"SELECT * EXCLUDE (file_row_number), '{path.name.replace(chr(39), chr(39) * 2)}' AS patron_file, "
            f"file_row_number + 1 AS patron_row, file_row_number + {sequence + 1} AS patron_seq "
            f"FROM read_parquet({literal([str(path)])}, file_row_number = true)"
        )
        facts.append({"name": path.name, "rows": rows, "sha256": sha256(path)})
        sequence += rows
        advance(path.stat().st_size)
    malformed = folder / f"{key}.malformed.jsonl"
    malformed.touch()
    return Staged(key, names, " UNION ALL BY NAME ".join(parts), malformed, 0, facts)

"""Text files as staged Parquet: columns of raw text, every row numbered, malformed rows set aside."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patron.errors import DataError
from patron.lake.decoding import opened_text
from patron.lake.mapping import RESERVED, SourceFile

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 8 << 20
LINES = 50_000


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
    with opened_text(path, key, spec) as stream:
        names = first_row(stream, path, spec)
    wrong = sorted({repr(each) for each in names if not each or names.count(each) > 1 or each in RESERVED})
    if wrong or not names:
        raise DataError(
            f"{path.name}: every column needs a name of its own; look at {', '.join(wrong) or 'the header'}. "
            f"Where the file has no header, name its `columns` under [files.{key}] in the mapping."
        )
    return names


def first_row(stream: io.BufferedReader, path: Path, spec: SourceFile) -> list[str]:
    if spec.format == "whitespace":
        return next((line.decode().split() for line in stream if line.strip()), [])
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    if spec.quote:
        rows = csv.reader(text, delimiter=spec.delimiter, quotechar=spec.quote)
    else:
        rows = csv.reader(text, delimiter=spec.delimiter, quoting=csv.QUOTE_NONE)
    try:
        return next((row for row in rows if row), [])
    except csv.Error as error:
        raise DataError(f"{path.name}: the header cannot be read: {error}.") from None
    finally:
        text.detach()


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
    with opened_text(path, key, spec, advance) as stream, pq.ParquetWriter(target, schema) as writer:
        for batch in reader(stream, path, spec, columns, reject):
            numbers = numbered(rows, batch.num_rows, skipped)
            writer.write_batch(with_origin(batch, path.name, numbers, sequence, schema))
            rows = numbers[-1] if len(numbers) else rows
    return max([rows, *skipped])


def numbered(after: int, count: int, skipped: list[int]) -> list[int]:
    """The next `count` row numbers after `after`, leaving out the skipped ones, which are used up."""
    if not skipped:
        return list(range(after + 1, after + count + 1))
    out, row = set(skipped), after
    numbers: list[int] = []
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
            f"{path.name} cannot be read as CSV: {reason}. A quote that is never closed does this; "
            'where quotes are ordinary characters, set quote = "".'
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

"""Arrow tables as packed rows, a column at a time: what makes loading the LMDB store fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.entity_keys import stored_keys
from features.row_format import LISTS, WORD, Layout, width_word
from patron.errors import FeatureError

if TYPE_CHECKING:
    import pyarrow as pa

Piece = bytes | memoryview
Lengths = NDArray[np.int64]


def packed_rows(
    batch: pa.RecordBatch, layout: Layout, join_key: str, event: str, created: str
) -> list[tuple[bytes, Piece]]:
    """(stored key, packed row) of every row of the batch, by ascending key.

    event, created: the columns of times. Raises FeatureError for a column of another type, a row without key
    or event time, or a list with a gap.
    """
    if batch.column(join_key).null_count or batch.column(event).null_count:
        raise FeatureError(f"A row of the snapshot lacks its {join_key} or {event}. Build it again.")
    keys = stored_keys(join_key, batch.column(join_key).to_pylist())
    lines = np.zeros((batch.num_rows, layout.words), dtype="<i8")
    lines[:, 0] = microseconds(batch.column(event))
    lines[:, 1] = microseconds(batch.column(created).fill_null(0))
    heap = set(layout.heap_order())
    for name, kind in layout.fields.items():
        column = typed(batch, name, kind)
        place = layout.at[name] - layout.first
        lines[:, 2 + place // 64] |= np.asarray(column.is_null()).astype("<i8") << np.int64(place % 64)
        if name not in heap:
            lines[:, layout.at[name]] = slots(column, kind)
    pieces = heaped(batch, layout, lines)
    return sorted(zip(keys, joined(lines, pieces), strict=True))


def microseconds(column: Any) -> NDArray[np.int64]:
    import pyarrow as pa

    moments: NDArray[np.int64] = np.asarray(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()))
    return moments


def typed(batch: pa.RecordBatch, name: str, kind: str) -> Any:
    """A column in the Arrow type of its Feast type."""
    import pyarrow as pa

    simple = {"Int64": pa.int64(), "Float64": pa.float64(), "Bool": pa.bool_(), "String": pa.string()}
    wanted = pa.list_(simple[kind[6:-1]]) if kind.startswith("Array(") else simple[kind]
    try:
        return batch.column(name).cast(wanted)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise FeatureError(f"The snapshot has no column {name} of type {kind}. Build it again.") from None


def slots(column: Any, kind: str) -> NDArray[np.int64]:
    """Numbers and flags as words; 0 where missing."""
    import pyarrow as pa

    if kind == "Bool":
        return np.asarray(column.cast(pa.int8()).fill_null(0)).astype("<i8")
    values: NDArray[Any] = np.asarray(column.fill_null(0))
    return values.view("<i8") if kind == "Float64" else values


def heaped(batch: pa.RecordBatch, layout: Layout, lines: NDArray[np.int64]) -> list[Iterator[Piece]]:
    """The heap's pieces of each field, a piece a row; writes where they stand into `lines`."""
    end = np.full(len(lines), layout.size, dtype=np.int64)
    found: list[Iterator[Piece]] = []
    for name in layout.heap_order():
        kind = layout.fields[name]
        counts, sizes, pieces = parts(typed(batch, name, kind), name, kind)
        present = ~layout.missing(lines, name)
        lines[present, layout.at[name]] = (end + (counts << 32))[present]
        end += sizes
        found += pieces
    return found


def parts(column: Any, name: str, kind: str) -> tuple[Lengths, Lengths, list[Iterator[Piece]]]:
    """How many elements each row has, how many bytes it puts into the heap, and those bytes."""
    if kind == "String":
        ends, flat = buffers(column)
        return np.diff(ends), np.diff(ends), [cut(flat, ends)]
    ends = np.asarray(column.offsets).astype(np.int64)
    counts, child = np.diff(ends), column.values
    if child.null_count and child[int(ends[0]) : int(ends[-1])].null_count:
        raise FeatureError(f"A list of {name} has a gap; a list of features has none.")
    if kind in LISTS:
        values = slots(child, kind[6:-1])
        return counts, counts * WORD, [cut(memoryview(values.tobytes()), ends * WORD)]
    elements, width, character = texts(child)
    head = width_word(b"", width, character)
    told = np.asarray(column.is_valid())
    size = width * character
    heads = (head if each else b"" for each in told.tolist())
    return counts, told * WORD + counts * size, [heads, cut(memoryview(elements), ends * size)]


def buffers(column: Any) -> tuple[Lengths, memoryview]:
    """Ends and bytes of a column of texts."""
    kept = column.fill_null("")
    offsets = np.frombuffer(kept.buffers()[1], dtype="<i4")[kept.offset : kept.offset + len(kept) + 1]
    return offsets.astype(np.int64), memoryview(kept.buffers()[2] or b"")


def texts(child: Any) -> tuple[Any, int, int]:
    """Texts filled up with zeros to one width: (all of them, the width, the bytes of a character)."""
    import pyarrow.compute as pc

    width = max(1, pc.max(pc.utf8_length(child)).as_py() or 1)
    if pc.all(pc.string_is_ascii(child)).as_py() is False:
        return np.array(child.fill_null("").to_pylist(), dtype=f"<U{width}").tobytes(), width, 4
    even = pc.ascii_rpad(child.fill_null(""), width, "\0")
    return buffers(even)[1], width, 1


def cut(flat: memoryview, ends: Lengths) -> Iterator[memoryview]:
    """The slices between successive ends."""
    marks = ends.tolist()
    return (flat[start:end] for start, end in pairwise(marks))


def joined(lines: NDArray[np.int64], pieces: Sequence[Iterator[Piece]]) -> Sequence[Piece]:
    """Each line with its pieces behind it."""
    flat, size = memoryview(lines.tobytes()), lines.shape[1] * WORD
    fixed = [flat[at : at + size] for at in range(0, len(flat), size)]
    return [b"".join(row) for row in zip(fixed, *pieces, strict=True)] if pieces else fixed

"""One packed row for each feature view and entity: what the LMDB store keeps as a value.

A row is a line of little-endian 64-bit words, then a heap:

| words | hold |
| --- | --- |
| 2 | event time and creation time, microseconds since 1970, UTC |
| ceil(fields / 64) | one bit a field, set where the value is missing (NaN is a value) |
| fields | an integer, a float's bits, a flag as 0 or 1; where a list or text begins, its length above |

The heap holds lists of numbers, then texts as UTF-8 and lists of texts: a word with the width of an element
and the bytes of a character (1 where all is ASCII, else 4), then the elements, filled up with zeros.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from struct import Struct, pack_into
from struct import error as StructError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.rows import ELEMENT
from patron.errors import FeatureError

WORD = 8
FEW = 16
"""Up to so many rows are read one by one."""
TIMES = Struct("<qq")
WIDTH = Struct("<II")
KINDS = (
    "Int64",
    "Float64",
    "Bool",
    "String",
    "Array(Int64)",
    "Array(Float64)",
    "Array(Bool)",
    "Array(String)",
)
CUT = "A row of the online store is cut short. Load it: patron features materialize"
NUMBERS = ("Int64", "Float64")
LISTS = {"Array(Int64)": np.dtype("<i8"), "Array(Float64)": np.dtype("<f8"), "Array(Bool)": np.dtype("<i8")}
"""Lists of numbers, and how their elements are stored."""

Words = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Where each field of a view stands in its rows. `fields`: name -> Feast type, in the order stored.

    Raises FeatureError for a type that has no place in a row.
    """

    fields: Mapping[str, str]
    first: int = field(init=False)
    """The word of the first field."""
    at: Mapping[str, int] = field(init=False)
    """Field -> its word."""

    def __post_init__(self) -> None:
        odd = sorted(f"{name} ({kind})" for name, kind in self.fields.items() if kind not in KINDS)
        if odd:
            raise FeatureError(f"The LMDB store cannot hold {', '.join(odd)}. It holds {', '.join(KINDS)}.")
        first = 2 + -(-len(self.fields) // 64)
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "at", {name: first + place for place, name in enumerate(self.fields)})

    @cached_property
    def words(self) -> int:
        """Words before the heap."""
        return self.first + len(self.fields)

    @cached_property
    def size(self) -> int:
        """Bytes before the heap."""
        return self.words * WORD

    @cached_property
    def nothing(self) -> bytes:
        """A row in which everything is missing."""
        return np.array([0, 0] + [-1] * (self.first - 2) + [0] * len(self.fields), dtype="<i8").tobytes()

    def missing(self, words: Words, name: str) -> NDArray[np.bool_]:
        """Whether a field is missing, for each of the rows."""
        place = self.at[name] - self.first
        found: NDArray[np.bool_] = (words[..., 2 + place // 64] >> np.int64(place % 64)) & 1 == 1
        return found

    def heap_order(self) -> list[str]:
        """The fields with something in the heap, in its order: words first, so that they stay aligned."""
        lists = [name for name, kind in self.fields.items() if kind in LISTS]
        return lists + [name for name, kind in self.fields.items() if kind in ("String", "Array(String)")]


def times(row: bytes | memoryview) -> tuple[int, int]:
    """(event time, creation time) of a row, microseconds since 1970."""
    event, created = TIMES.unpack_from(row)
    return event, created


def packed(layout: Layout, values: Mapping[str, Any], event: int, created: int) -> bytes:
    """One row from plain values, None (or absent) where missing. Times in microseconds since 1970.

    Raises FeatureError for a value that does not fit its type.
    """
    line = bytearray(layout.size)
    TIMES.pack_into(line, 0, event, created)
    heap, end = [], layout.size
    for name in [*(each for each in layout.fields if each not in layout.heap_order()), *layout.heap_order()]:
        value, at = values.get(name), layout.at[name]
        if value is None:
            mark(line, at - layout.first)
            continue
        try:
            if layout.fields[name] == "Float64":
                pack_into("<d", line, at * WORD, value)
            elif layout.fields[name] in ("Int64", "Bool"):
                pack_into("<q", line, at * WORD, value)
            else:
                piece, count = heaped(layout.fields[name], value)
                pack_into("<II", line, at * WORD, end, count)
                heap.append(piece)
                end += len(piece)
        except Exception:
            raise FeatureError(f"A value of {name} is no {layout.fields[name]}.") from None
    return b"".join([line, *heap])


def mark(line: bytearray, place: int) -> None:
    """Say that the field at `place` is missing."""
    line[2 * WORD + place // 8] |= 1 << place % 8


def heaped(kind: str, value: Any) -> tuple[bytes, int]:
    """What a text or a list leaves in the heap, and how many bytes or elements it has."""
    if kind == "String":
        text = value.encode()
        return text, len(text)
    if kind == "Array(String)":
        return width_word(*texts(list(value))), len(value)
    return np.asarray(value, dtype=LISTS[kind]).tobytes(), len(value)


def texts(values: list[str]) -> tuple[bytes, int, int]:
    """Texts filled up with zeros to one width: (all of them, the width, the bytes of a character)."""
    wide = np.asarray(values, dtype=np.str_)
    width = wide.dtype.itemsize // 4
    if all(each.isascii() for each in values):
        return wide.astype(f"S{width}").tobytes(), width, 1
    return wide.astype(f"<U{width}").tobytes(), width, 4


def width_word(elements: bytes, width: int, character: int) -> bytes:
    return WIDTH.pack(width, character) + elements


class Picked:
    """Some fields of a view, resolved once: how their columns are read out of rows. Forms: see `Rows`."""

    def __init__(self, layout: Layout, names: Sequence[str]) -> None:
        self.layout = layout
        codes = ("d" if kind == "Float64" else "q" for kind in layout.fields.values())
        self.line = Struct(f"<{layout.first}q{''.join(codes)}")
        places = [layout.at[name] - layout.first for name in names]
        self.masks = [
            (2 + word, sum(1 << place % 64 for place in places if place // 64 == word))
            for word in range(layout.first - 2)
        ]
        fields = [
            (name, layout.fields[name], layout.at[name], 2 + place // 64, 1 << place % 64)
            for name, place in zip(names, places, strict=True)
        ]
        self.objects = [each for each in fields if each[1] not in NUMBERS]
        self.names = [name for name, kind, *_ in fields if kind in NUMBERS]
        self.numbers = [where for _, kind, *where in fields if kind in NUMBERS]

    def columns(self, rows: Sequence[bytes | None]) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """Field -> column, and which rows hold a value in any of the fields.

        rows: as stored, None for an entity without one. Raises FeatureError for a row that is cut short.
        """
        full = [self.layout.nothing if row is None else row for row in rows]
        try:
            lines = [self.line.unpack_from(row) for row in full]
        except StructError:
            raise FeatureError(CUT) from None
        numbers = self.table(full) if len(full) > FEW else self.lines(lines)
        found: dict[str, NDArray[Any]] = dict(zip(self.names, numbers, strict=True))
        for name, kind, *where in self.objects:
            found[name] = self.column(full, lines, kind, *where)
        told = [any(~line[mark] & mask for mark, mask in self.masks) for line in lines]
        return found, np.array(told, dtype=bool)

    def one(self, row: bytes | None) -> tuple[dict[str, Any], bool]:
        """Field -> value of a single row, and whether there is any; see `OneRow`."""
        full = self.layout.nothing if row is None else row
        try:
            line = self.line.unpack_from(full)
        except StructError:
            raise FeatureError(CUT) from None
        found: dict[str, Any] = dict(zip(self.names, map(float, self.numeric(line)), strict=True))
        for name, kind, at, mark, bit in self.objects:
            if not line[mark] & bit:
                found[name] = unpacked(full, line[at], kind)
            else:
                found[name] = np.zeros(0, dtype=ELEMENT[kind]) if kind in ELEMENT else None
        return found, any(~line[mark] & mask for mark, mask in self.masks)

    def table(self, rows: Sequence[bytes]) -> NDArray[np.float64]:
        """The numbers of many rows, shape (fields, rows)."""
        head = b"".join([row[: self.layout.size] for row in rows])
        words = np.frombuffer(head, "<i8").reshape(len(rows), self.layout.words).T
        at, mark = (np.array([each[part] for each in self.numbers], dtype=int) for part in (0, 1))
        bit = np.array([each[2] for each in self.numbers], dtype=np.uint64).view(np.int64)
        whole = np.array([self.layout.fields[name] == "Int64" for name in self.names], dtype=bool)
        values = words[at].view("<f8")
        values[whole] = words[at[whole]]
        values[words[mark] & bit[:, None] != 0] = np.nan
        return values

    def lines(self, lines: Sequence[tuple[Any, ...]]) -> NDArray[np.float64]:
        """The same of a few rows, for which numpy would take longer to begin than Python to end."""
        numbers = np.array([self.numeric(line) for line in lines], dtype=np.float64)
        return numbers.reshape(len(lines), len(self.names)).T.copy()

    def numeric(self, line: tuple[Any, ...]) -> list[float]:
        """The numbers of one row, NaN where missing."""
        if any(line[mark] & mask for mark, mask in self.masks):
            return [np.nan if line[mark] & bit else line[at] for at, mark, bit in self.numbers]
        return [line[at] for at, _, _ in self.numbers]

    def column(
        self, rows: Sequence[bytes], lines: Sequence[tuple[Any, ...]], kind: str, at: int, mark: int, bit: int
    ) -> NDArray[Any]:
        """A column of flags, texts or lists."""
        column = np.empty(len(rows), dtype=object)
        for position, line in enumerate(lines):
            if not line[mark] & bit:
                column[position] = unpacked(rows[position], line[at], kind)
            elif kind in ELEMENT:
                column[position] = np.zeros(0, dtype=ELEMENT[kind])
        return column


def unpacked(row: bytes, slot: int, kind: str) -> Any:
    """A flag, a text, or a list as an array of its own."""
    if kind == "Bool":
        return slot == 1
    start, count = slot & 0xFFFFFFFF, slot >> 32
    if kind == "String":
        return row[start : start + count].decode()
    if kind in LISTS:
        found = np.frombuffer(row, LISTS[kind], count, start)
        return found.astype(np.bool_) if kind == "Array(Bool)" else found.copy()
    if not count:
        return np.zeros(0, dtype=np.str_)
    width, character = WIDTH.unpack_from(row, start)
    if character == 1:
        return np.frombuffer(row, np.uint8, count * width, start + WORD).astype("<u4").view(text(width))
    return np.frombuffer(row, text(width), count, start + WORD).copy()


@functools.cache
def text(width: int) -> np.dtype[Any]:
    return np.dtype(f"<U{width}")


def value(layout: Layout, row: bytes, name: str) -> Any:
    """One field of one row as a plain value: a number, text, flag, list, or None where missing."""
    words = np.frombuffer(row[: layout.size], dtype="<i8")
    if layout.missing(words, name):
        return None
    slot, kind = int(words[layout.at[name]]), layout.fields[name]
    if kind == "Int64":
        return slot
    if kind == "Float64":
        return float(words[layout.at[name] :][:1].view("<f8")[0])
    found = unpacked(row, slot, kind)
    return found.tolist() if isinstance(found, np.ndarray) else found

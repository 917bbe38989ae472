"""Feature values as arrays, one entry an entity: the one shape that training, batch and serving share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Feature values of some entities.

    `columns`: bare feature name -> array of length `len(ids)`; numbers are float64 with NaN for missing,
    strings and booleans objects with None, lists objects holding an array each (empty where unknown).
    `known` is False for entities without any stored features. `as_of` is the cutoff of the values.
    """

    ids: list[str]
    columns: Mapping[str, NDArray[Any]]
    known: NDArray[np.bool_]
    as_of: datetime | None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, positions: NDArray[Any]) -> Rows:
        """The rows at `positions` (indices or a mask)."""
        at = np.arange(len(self))[positions]
        return Rows(
            ids=[self.ids[each] for each in at],
            columns={name: values[at] for name, values in self.columns.items()},
            known=self.known[at],
            as_of=self.as_of,
        )


class OneRow(Mapping[str, NDArray[Any]]):
    """Columns of a single row, each made when it is first asked for: most callers want few of them.

    `row` holds them as stored: a number (NaN where missing), a flag or text or None, an array.
    """

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row
        self.made: dict[str, NDArray[Any]] = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        found = self.made.get(name)
        if found is None:
            value = self.row[name]
            if isinstance(value, float):
                found = np.array([value])
            else:
                found = np.empty(1, dtype=object)
                found[0] = value
            self.made[name] = found
        return found

    def __contains__(self, name: object) -> bool:
        return name in self.row

    def __iter__(self) -> Iterator[str]:
        return iter(self.row)

    def __len__(self) -> int:
        return len(self.row)


ELEMENT = {"Array(String)": np.str_, "Array(Int64)": np.int64, "Array(Float64)": np.float64}


def column(values: Sequence[Any], kind: str) -> NDArray[Any]:
    """Stored values of one feature as an array; see Rows for the forms."""
    if kind in ("Int64", "Float64"):
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    found = np.empty(len(values), dtype=object)
    if kind in ELEMENT:
        for position, value in enumerate(values):
            found[position] = np.asarray([] if value is None else value, dtype=ELEMENT[kind])
    else:
        found[:] = values
    return found

"""The packed rows of a Feast project in one LMDB file: loading whole views, writing and deleting entities.

Beside the rows of each view stands one document, changed in the same transactions:
{"as_of": moment of the last load, "views": {view: {"join_key", "fields", "rows", "loaded", "newest"}}}, where
`loaded` is the event time that the view was loaded with and `newest` the newest written to it since, in
microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from features.arrow_rows import packed_rows
from features.entity_keys import entity_key, stored_key
from features.row_file import STATE, Item, RowFile, Writing
from features.row_format import Layout, times

if TYPE_CHECKING:
    import pyarrow as pa

Document = dict[str, Any]
NOTHING: Document = {"as_of": None, "views": {}}
EVENT, CREATED = "event_timestamp", "created"
"""The columns of a snapshot that hold its times."""


@dataclass(frozen=True)
class Load:
    """A whole view to be loaded. `batches` gives its rows, from the start whenever it is called."""

    view: str
    join_key: str
    fields: dict[str, str]
    moment: datetime
    """The cutoff that its rows are of."""
    batches: Callable[[], Iterable[pa.RecordBatch]]
    event: str = EVENT
    created: str = CREATED

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.fields)


class PackedStore:
    """The rows of one project."""

    def __init__(self, file: RowFile, project: str) -> None:
        self.file, self.project = file, project.encode()

    def table(self, view: str) -> bytes:
        return b"%s.%s" % (self.project, view.encode())

    def read(self, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> tuple[bytes | None, list[Any]]:
        """(the document, the rows of each view's keys) of one moment; see `RowFile.read`."""
        return self.file.read(self.project, [(self.table(view), keys) for view, keys in wanted])

    def document(self) -> Document:
        """What is stored. Raises FeatureError where the file cannot be read."""
        return parsed(self.file.read(self.project, ())[0])

    def load(
        self, loads: Sequence[Load], advance: Callable[[str], None] = lambda view: None, as_of: Any = None
    ) -> dict[str, int]:
        """Replace views by what is given, all in one transaction; returns the rows of each.

        Readers see all of the old until then all of the new. Entities that are not given are dropped, apart
        from rows that were written one by one and are newer than the load.
        """

        def change(writing: Writing) -> dict[str, int]:
            document = self.current(writing)
            counts = {}
            for each in loads:
                counts[each.view] = self.replace(writing, document, each)
                advance(each.view)
            if as_of is not None:
                document["as_of"] = as_of.isoformat()
            self.keep(writing, document)
            return counts

        return self.file.write([self.table(each.view) for each in loads], change)

    def replace(self, writing: Writing, document: Document, load: Load) -> int:
        """One view's part of a load; returns how many rows were given."""
        table, moment = self.table(load.view), microseconds(load.moment)
        kept = self.newer(writing, document, load, moment)
        writing.clear(table)
        last, count = b"", 0
        for batch in load.batches():
            rows: list[Item] = list(packed_rows(batch, load.layout, load.join_key, load.event, load.created))
            if rows:
                writing.put(table, rows, append=rows[0][0] > last)
                last, count = max(last, rows[-1][0]), count + len(rows)
        writing.put(table, list(kept.items()))
        document["views"][load.view] = {
            "join_key": load.join_key,
            "fields": load.fields,
            "rows": count,
            "loaded": moment,
            "newest": max((times(row)[0] for row in kept.values()), default=None),
        }
        return count

    def newer(self, writing: Writing, document: Document, load: Load, moment: int) -> dict[bytes, bytes]:
        """The rows that were written one by one since the last load and are newer than this one."""
        view = document["views"].get(load.view)
        if not view or view["fields"] != load.fields or (view["newest"] or moment) <= moment:
            return {}
        found = writing.items(self.table(load.view))
        return {key: row for key, row in found if moment < times(row)[0] != view["loaded"]}

    def write(
        self, view: str, join_key: str, fields: dict[str, str], rows: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """Write some entities' rows, each unless a newer one stands there. Other fields than before: the old
        rows of the view are dropped."""
        table = self.table(view)

        def change(writing: Writing) -> None:
            document = self.current(writing)
            entry = document["views"].setdefault(
                view, {"join_key": join_key, "fields": fields, "rows": 0, "loaded": None, "newest": None}
            )
            if entry["fields"] != fields:
                writing.clear(table)
                entry |= {"fields": fields, "rows": 0, "loaded": None, "newest": None}
            for key, row in rows:
                standing = writing.get(table, key)
                if standing is None or times(standing) <= times(row):
                    writing.put(table, [(key, row)])
                    entry["rows"] += standing is None
                    entry["newest"] = max(entry["newest"] or times(row)[0], times(row)[0])
            self.keep(writing, document)

        self.file.write([table], change)

    def delete(self, join_key: str, value: str | int) -> int:
        """Delete one entity's rows from every view; returns how many there were."""
        key = stored_key(entity_key(join_key, value))
        views = [name for name, entry in self.document()["views"].items() if entry["join_key"] == join_key]

        def change(writing: Writing) -> int:
            document, count = self.current(writing), 0
            for view in views:
                gone = writing.delete(self.table(view), key)
                document["views"][view]["rows"] -= gone
                count += gone
            self.keep(writing, document)
            return count

        return self.file.write([self.table(view) for view in views], change)

    def drop(self, views: Iterable[str]) -> None:
        """Forget whole views."""
        names = list(views)

        def change(writing: Writing) -> None:
            document = self.current(writing)
            for view in names:
                writing.clear(self.table(view))
                document["views"].pop(view, None)
            self.keep(writing, document)

        self.file.write([self.table(view) for view in names], change)

    def current(self, writing: Writing) -> Document:
        return parsed(writing.get(STATE, self.project))

    def keep(self, writing: Writing, document: Document) -> None:
        writing.put(STATE, [(self.project, json.dumps(document).encode())])


def parsed(raw: bytes | None) -> Document:
    """A stored document; an empty one where there is none."""
    found: Document = json.loads(raw) if raw else json.loads(json.dumps(NOTHING))
    return found


def moment(microseconds: int) -> datetime:
    """The time so long after 1970, exactly, in UTC."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(
        microsecond=microseconds % 1_000_000
    )


def microseconds(moment: datetime) -> int:
    """Since 1970, exactly."""
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + moment.microsecond

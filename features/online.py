"""Reading features for serving, and what moment their values are from.

The LMDB store is read without Feast, whose import takes seconds: references are resolved to rows and fields
once, and a read is one look-up for each view and entity. The other stores are read through Feast.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features.entity_keys import stored_keys
from features.packed_store import PackedStore, moment, parsed
from features.row_file import row_file
from features.row_format import Layout, Picked, times
from features.rows import OneRow, Rows, column
from features.views import named, offered
from patron.errors import FeatureError
from patron.settings import Settings

PROJECT = "patron"
"""The Feast project that everything is stored under."""
EMPTY = "The online store is empty. Load it: patron features materialize"
FRESH_SECONDS = 0.5
"""`as_of` is looked up again when nothing was read for so long."""


class Reader(Protocol):
    """What each kind of store does; see OnlineFeatures."""

    @property
    def loaded(self) -> dict[str, Any]: ...

    @property
    def as_of(self) -> datetime: ...

    def read(self, ids: Sequence[str], references: Sequence[str], entity: str) -> Rows: ...

    def event_times(self, ids: Sequence[str], view: str) -> list[datetime | None]: ...


class OnlineFeatures:
    """The online store of the settings, opened once a process; any thread may read.

    Raises FeatureError when nothing was loaded. A store that is lost while it is open makes reads raise
    FeatureError until it is back.
    """

    def __init__(self, settings: Settings) -> None:
        self.reader: Reader = Packed(settings) if settings.online_store == "lmdb" else Stock(settings)
        self.read_rows = self.reader.read

    @property
    def loaded(self) -> dict[str, Any]:
        """What the last load put in: {"as_of": moment, "rows": {view: rows}}."""
        return self.reader.loaded

    @property
    def as_of(self) -> datetime:
        """The cutoff of the values that were loaded; of the last ones seen, while the store is lost."""
        return self.reader.as_of

    def offered_references(self) -> set[str]:
        """The references that can be read here."""
        return {reference for view in self.loaded["rows"] for reference in named(view).references}

    def read(self, ids: Sequence[str], references: Sequence[str], entity: str = "customer") -> Rows:
        """Features of these customers (or products); unknown ones have `known` False."""
        return self.read_rows(ids, references, entity)

    def event_times(self, ids: Sequence[str], view: str) -> list[datetime | None]:
        """When each entity's row of a view is from: rows do not expire, so that whoever must not use old
        ones asks. None without a row."""
        return self.reader.event_times(ids, view)


class Packed:
    """The LMDB store."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.online / "online.mdb"
        if not self.path.is_file():
            raise FeatureError(EMPTY)
        self.store = PackedStore(row_file(self.path), PROJECT)
        self.resolved: dict[tuple[str, ...], list[tuple[str, tuple[str, ...]]]] = {}
        self.current = Current(None)
        self.seen_at = 0.0
        self.see(self.store.read(())[0])
        if self.current.as_of is None:
            raise FeatureError(EMPTY)

    def see(self, state: bytes | None) -> Current:
        """What is stored now, taken apart again only when it has changed."""
        current = self.current
        if current.state is not state and current.state != state:
            current = self.current = Current(state)
        self.seen_at = time.monotonic()
        return current

    @property
    def loaded(self) -> dict[str, Any]:
        return self.see(self.store.read(())[0]).loaded

    @property
    def as_of(self) -> datetime:
        if time.monotonic() - self.seen_at > FRESH_SECONDS:
            try:
                self.see(self.store.read(())[0])
            except FeatureError:
                self.seen_at = time.monotonic()
        if self.current.as_of is None:
            raise FeatureError(EMPTY)
        return self.current.as_of

    def read(self, ids: Sequence[str], references: Sequence[str], entity: str) -> Rows:
        wanted = self.resolve(tuple(references))
        keys = stored_keys(f"{entity}_id", ids)
        state, found = self.store.read([(view, keys) for view, _ in wanted])
        current = self.see(state)
        if len(keys) == 1:
            return self.one(ids, wanted, found, current, entity)
        columns: dict[str, NDArray[Any]] = {}
        known = np.zeros(len(keys), dtype=bool)
        for (view, names), rows in zip(wanted, found, strict=True):
            more, told = current.picked(view, names, f"{entity}_id").columns(rows)
            columns |= more
            known |= told
        return Rows(list(ids), columns, known, current.as_of)

    def one(self, ids: Sequence[str], wanted: Any, found: Any, current: Current, entity: str) -> Rows:
        """The same for a single entity, whose columns are made when they are asked for."""
        row: dict[str, Any] = {}
        known = False
        for (view, names), rows in zip(wanted, found, strict=True):
            more, told = current.picked(view, names, f"{entity}_id").one(rows[0])
            row |= more
            known |= told
        return Rows(list(ids), OneRow(row), np.array([known]), current.as_of)

    def resolve(self, references: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
        """References by view: (view, its fields)."""
        found = self.resolved.get(references)
        if found is None:
            grouped: dict[str, list[str]] = {}
            for each in references:
                view, _, name = each.partition(":")
                grouped.setdefault(view, []).append(name)
            found = self.resolved[references] = [(view, tuple(names)) for view, names in grouped.items()]
        return found

    def event_times(self, ids: Sequence[str], view: str) -> list[datetime | None]:
        _, found = self.store.read([(view, stored_keys(named(view).key, ids))])
        return [None if row is None else moment(times(row)[0]) for row in found[0]]


class Current:
    """What the stored document says, and the fields that were picked from rows as it describes them."""

    def __init__(self, state: bytes | None) -> None:
        self.state = state
        document = parsed(state)
        self.views: dict[str, dict[str, Any]] = document["views"]
        self.as_of = document["as_of"] and datetime.fromisoformat(document["as_of"])
        self.loaded = {
            "as_of": document["as_of"],
            "rows": {name: view["rows"] for name, view in self.views.items()},
        }
        self.resolved: dict[tuple[str, tuple[str, ...], str], Picked] = {}

    def picked(self, view: str, names: tuple[str, ...], join_key: str) -> Picked:
        """Raises FeatureError for a view or a field that was not loaded, or a view of another entity."""
        found = self.resolved.get((view, names, join_key))
        if found is None:
            entry = self.views.get(view, {"fields": {}, "join_key": join_key})
            lacking = [f"{view}:{name}" for name in names if name not in entry["fields"]]
            if lacking or entry["join_key"] != join_key:
                what = ", ".join(lacking) or f"{view} by {join_key}"
                raise FeatureError(f"The online store lacks {what}. Load it: patron features materialize")
            found = self.resolved[view, names, join_key] = Picked(Layout(entry["fields"]), names)
        return found


class Stock:
    """A store that is read through Feast."""

    def __init__(self, settings: Settings) -> None:
        from features.store import feature_store

        self.path = settings.online / "loaded.json"
        if not self.path.is_file():
            raise FeatureError(EMPTY)
        self.read_at = 0
        self.facts: dict[str, Any] = {}
        self.store = feature_store(settings)
        self.kinds = offered()
        self.reading = threading.Lock()

    @property
    def loaded(self) -> dict[str, Any]:
        """What the last load put in; read again when another load has ended since."""
        try:
            changed = self.path.stat().st_mtime_ns
            if changed != self.read_at:
                self.facts, self.read_at = json.loads(self.path.read_text(encoding="utf-8")), changed
        except OSError:
            if not self.facts:
                raise FeatureError(EMPTY) from None
        return self.facts

    @property
    def as_of(self) -> datetime:
        return datetime.fromisoformat(self.loaded["as_of"])

    def read(self, ids: Sequence[str], references: Sequence[str], entity: str) -> Rows:
        if not ids:
            empty = {each.split(":")[1]: column([], self.kinds[each]) for each in references}
            return Rows([], empty, np.zeros(0, dtype=bool), self.as_of)
        found = self.ask(ids, references, entity).to_dict()
        columns = {}
        known = np.zeros(len(ids), dtype=bool)
        for reference in references:
            name = reference.split(":")[1]
            known |= np.array([value is not None for value in found[name]])
            columns[name] = column(found[name], self.kinds[reference])
        return Rows(list(ids), columns, known, self.as_of)

    def event_times(self, ids: Sequence[str], view: str) -> list[datetime | None]:
        name = next(iter(named(view).fields))
        found = self.ask(ids, [f"{view}:{name}"], named(view).entity).to_dict(include_event_timestamps=True)
        return [datetime.fromtimestamp(each, UTC) if each else None for each in found[f"{name}__ts"]]

    def ask(self, ids: Sequence[str], references: Sequence[str], entity: str) -> Any:
        return self.store.get_online_features(
            features=list(references), entity_rows=[{f"{entity}_id": each} for each in ids]
        )

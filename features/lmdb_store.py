"""Feast's online store on LMDB: give it to Feast by its class path, `features.lmdb_store.LmdbOnlineStore`.

It holds one packed row for each feature view and entity under Feast's own entity key. Views have one join
key, a text or an integer. A row that is older than the one that stands there is not written. Nothing expires:
the event time of each row is answered, for readers to check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from feast import Entity, FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from feast.type_map import feast_value_type_to_python_type

from features.entity_keys import VERSION, stored_key
from features.packed_store import PackedStore, microseconds, moment, parsed
from features.row_file import row_file
from features.row_format import Layout, packed, times, value
from patron.errors import ConfigurationError

FIELDS = {
    "Int64": "int64_val",
    "Float64": "double_val",
    "Bool": "bool_val",
    "String": "string_val",
    "Array(Int64)": "int64_list_val",
    "Array(Float64)": "double_list_val",
    "Array(Bool)": "bool_list_val",
    "Array(String)": "string_list_val",
}
"""Feast type -> the field of its protocol buffer."""


class LmdbOnlineStoreConfig(FeastConfigBaseModel):
    """`online_store` of a Feast configuration."""

    type: Literal["features.lmdb_store.LmdbOnlineStore"] = "features.lmdb_store.LmdbOnlineStore"
    path: str = "online.mdb"
    """The LMDB file; its lock stands beside it."""


class LmdbOnlineStore(OnlineStore):
    """See the module."""

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows, each unless a newer one stands there."""
        fields = fields_of(table)
        layout = Layout(fields)
        rows = [
            (
                key_of(key),
                packed(layout, plain(values), since_1970(event), since_1970(created or event)),
            )
            for key, values, event, created in data
        ]
        store(config).write(table.name, table.join_keys[0], fields, rows)
        if progress:
            progress(len(rows))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """(event time, name -> value) of each entity; (None, None) of one without a row."""
        state, found = store(config).read([(table.name, [key_of(each) for each in entity_keys])])
        view = parsed(state)["views"].get(table.name)
        if view is None:
            return [(None, None)] * len(entity_keys)
        layout = Layout(view["fields"])
        names = [each for each in requested_features or layout.fields if each in layout.fields]
        return [(None, None) if row is None else unpacked(layout, row, names) for row in found[0]]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Refuse views that cannot be stored; drop the rows of those that are no more."""
        for each in tables_to_keep:
            Layout(fields_of(each))
            if len(each.join_keys) != 1:
                raise ConfigurationError(
                    f"The LMDB store holds views with one join key; {each.name} has {len(each.join_keys)}."
                )
        if tables_to_delete and Path(config.online_store.path).is_file():
            store(config).drop(each.name for each in tables_to_delete)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Drop the rows of these views."""
        self.update(config, tables, [], [], [], partial=True)


def store(config: RepoConfig) -> PackedStore:
    return PackedStore(row_file(Path(config.online_store.path)), config.project)


def fields_of(table: FeatureView) -> dict[str, str]:
    """Name -> type of a Feast view's features."""
    return {each.name: str(each.dtype) for each in table.features}


def key_of(key: EntityKey) -> bytes:
    return stored_key(serialize_entity_key(key, entity_key_serialization_version=VERSION))


def since_1970(at: datetime) -> int:
    """Microseconds; Feast gives UTC, with or without saying so."""
    return microseconds(at if at.tzinfo else at.replace(tzinfo=UTC))


def plain(values: dict[str, Value]) -> dict[str, Any]:
    return {name: feast_value_type_to_python_type(each) for name, each in values.items()}


def unpacked(layout: Layout, row: bytes, names: Sequence[str]) -> tuple[datetime, dict[str, Value]]:
    """A row as Feast wants it."""
    return moment(times(row)[0]), {
        name: proto(layout.fields[name], value(layout, row, name)) for name in names
    }


def proto(kind: str, found: Any) -> Value:
    """A plain value as a protocol buffer."""
    if found is None:
        return Value()
    made = Value()
    if kind.startswith("Array("):
        held = getattr(made, FIELDS[kind])
        held.SetInParent()
        held.val.extend(found)
    else:
        setattr(made, FIELDS[kind], found)
    return made

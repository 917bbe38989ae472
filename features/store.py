"""The Feast store: entities, views and services as explicit objects; DuckDB offline, SQLite online."""

from __future__ import annotations

import logging
import sqlite3
import warnings
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from features.build import folder, index
from features.view import View
from features.views import SERVICES, VIEWS
from patron.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore

PROJECT = "patron"
KEY_VERSION = 3
"""How Feast writes an entity's key."""


def feature_store(settings: Settings) -> FeatureStore:
    """Feast on this home's registry, snapshots and online store. Importing Feast takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Feast's own deprecations on import
        from feast import FeatureStore, RepoConfig
    logging.getLogger("feast").setLevel(logging.WARNING)
    settings.features.mkdir(parents=True, exist_ok=True)
    settings.online.mkdir(parents=True, exist_ok=True)
    return FeatureStore(
        config=RepoConfig(
            project=PROJECT,
            provider="local",
            registry=str((settings.features / "registry.db").resolve()),
            offline_store={"type": "duckdb"},
            online_store={"type": "sqlite", "path": str((settings.online / "online.db").resolve())},
            entity_key_serialization_version=KEY_VERSION,
        )
    )


def entities() -> dict[str, Any]:
    from feast import Entity, ValueType

    return {
        name: Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)
        for name in ("customer", "product")
    }


def feast_view(settings: Settings, view: View) -> Any:
    """The Feast FeatureView over a view's snapshots."""
    from feast import FeatureView, Field, FileSource
    from feast.data_format import ParquetFormat

    return FeatureView(
        name=view.name,
        entities=[entities()[view.entity]],
        schema=[Field(name=field, dtype=feast_type(kind)) for field, kind in view.fields.items()],
        source=FileSource(
            name=f"{view.name}_snapshots",
            path=str(settings.features.resolve() / view.name / "cutoff=*" / "part.parquet"),
            file_format=ParquetFormat(),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
        ttl=timedelta(0),
        description=view.description,
    )


def feast_type(kind: str) -> Any:
    from feast import types

    if kind.startswith("Array("):
        return types.Array(getattr(types, kind[6:-1]))
    return getattr(types, kind)


def apply(settings: Settings) -> FeatureStore:
    """Register entities, views and services."""
    from feast import FeatureService

    store = feature_store(settings)
    views = {view.name: feast_view(settings, view) for view in VIEWS if view.name in index(settings)["views"]}
    services = [
        FeatureService(name=name, features=[views[each] for each in wanted if each in views])
        for name, wanted in SERVICES.items()
    ]
    store.apply([*entities().values(), *views.values(), *services])
    return store


def materialize(settings: Settings, advance: Any = lambda what, total: None) -> dict[str, Any]:
    """Load the newest snapshot of every view into the online store, views one by one.

    Returns {"as_of": cutoff, "rows": {view: rows}}.
    """
    from patron.files import publish_json

    built = index(settings)["views"]
    store = apply(settings)
    rows = {}
    cutoff = max(max(entries) for entries in built.values())
    for view in VIEWS:
        if cutoff in built.get(view.name, {}):
            load(store, settings, view, datetime.fromisoformat(f"{cutoff}T00:00:00+00:00"))
            rows[view.name] = built[view.name][cutoff]["rows"]
        advance(view.name, len(VIEWS))
    outcome = {"as_of": f"{cutoff}T00:00:00+00:00", "rows": rows}
    publish_json(settings.online / "loaded.json", outcome)
    return outcome


def load(store: FeatureStore, settings: Settings, view: View, cutoff: datetime) -> None:
    """Write one snapshot to the online store in batches, then drop the entities that it no longer has."""
    import pyarrow.parquet as pq

    part = folder(settings, view.name, cutoff) / "part.parquet"
    for batch in pq.ParquetFile(part).iter_batches(20_000):
        store.write_to_online_store(view.name, df=batch.to_pandas())
    drop_others(settings, view, pq.read_table(part, columns=[view.key])[view.key].to_pylist())


def drop_others(settings: Settings, view: View, ids: list[str]) -> None:
    """Remove what earlier loads left of entities that are gone: Feast has no delete, and nothing expires."""
    table = f'"{PROJECT}_{view.name}"'
    with closing(sqlite3.connect(settings.online / "online.db")) as store, store:
        store.execute("create temp table kept (entity_key blob primary key)")
        store.executemany("insert into kept values (?)", ([stored_key(view.key, each)] for each in ids))
        store.execute(f"delete from {table} where entity_key not in (select entity_key from kept)")


def stored_key(name: str, value: str) -> bytes:
    """An entity's key as the online store holds it."""
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    key = EntityKey(join_keys=[name], entity_values=[Value(string_val=value)])
    return serialize_entity_key(key, entity_key_serialization_version=KEY_VERSION)

"""The Feast store: entities, views and services as explicit objects; DuckDB offline, online as set."""

from __future__ import annotations

import logging
import warnings
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from features.build import index
from features.entity_keys import VERSION
from features.online import PROJECT
from features.view import View
from features.views import SERVICES, VIEWS
from patron.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore


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
            online_store=online_store(settings),
            entity_key_serialization_version=VERSION,
        )
    )


def online_store(settings: Settings) -> dict[str, Any]:
    """What Feast is told about the online store."""
    folder = settings.online.resolve()
    if settings.online_store == "lmdb":
        return {"type": "features.lmdb_store.LmdbOnlineStore", "path": str(folder / "online.mdb")}
    if settings.online_store == "sqlite":
        return {"type": "sqlite", "path": str(folder / "online.db")}
    address = urlsplit(settings.online_store)
    parts = [f"{address.hostname}:{address.port or 6379}", f"db={address.path.strip('/') or 0}"]
    parts += [f"password={address.password}"] if address.password else []
    parts += ["ssl=true"] if address.scheme == "rediss" else []
    return {"type": "redis", "connection_string": ",".join(parts), "skip_dedup": True}


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
    """Load the newest snapshot of every view into the online store.

    Returns {"as_of": cutoff, "rows": {view: rows}}. LMDB takes the snapshots as they are, all views in one
    transaction, without Feast; other stores take them through Feast, view by view.
    """
    from features import loading
    from patron.files import publish_json

    built = index(settings)["views"]
    cutoff = max(max(entries) for entries in built.values())
    views = [view for view in VIEWS if cutoff in built.get(view.name, {})]
    moment = datetime.fromisoformat(f"{cutoff}T00:00:00+00:00")
    if settings.online_store == "lmdb":
        rows = loading.packed(settings, views, moment, advance)
    else:
        rows = loading.stock(settings, apply(settings), views, moment, advance)
    outcome = {"as_of": moment.isoformat(), "rows": rows}
    publish_json(settings.online / "loaded.json", outcome)
    return outcome


def forget(settings: Settings, entity: str, value: str) -> int:
    """Delete one customer's (or product's) features from the online store; returns how many rows there were.

    The next load brings back whoever is still in the snapshots: delete there first.
    """
    from features import loading

    if settings.online_store == "lmdb":
        return loading.forget_packed(settings, entity, value)
    return loading.forget_stock(settings, feature_store(settings), entity, value)

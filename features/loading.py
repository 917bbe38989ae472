"""Putting snapshots into an online store, and taking entities out of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.build import folder
from features.entity_keys import entity_key, prefix
from features.online import PROJECT
from features.packed_store import Load, PackedStore
from features.row_file import row_file
from features.view import View
from features.views import VIEWS
from patron.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore

BATCH = 20_000
"""Rows that are held in memory at once, where they hold numbers alone..."""
LIST_BATCH = 2_000
"""...and where they hold lists."""
Advance = Callable[[str, int], None]


def packed(settings: Settings, views: Sequence[View], cutoff: datetime, advance: Advance) -> dict[str, int]:
    """Load snapshots into the LMDB store, all views at once; returns the rows of each."""
    loads = [
        Load(view.name, view.key, dict(view.fields), cutoff, batches(part(settings, view, cutoff), view))
        for view in views
    ]
    return packed_store(settings).load(loads, lambda view: advance(view, len(VIEWS)), as_of=cutoff)


def packed_store(settings: Settings) -> PackedStore:
    """This home's LMDB store."""
    return PackedStore(row_file(settings.online / "online.mdb"), PROJECT)


def part(settings: Settings, view: View, cutoff: datetime) -> Path:
    return folder(settings, view.name, cutoff) / "part.parquet"


def batches(path: Path, view: View) -> Callable[[], Iterator[pa.RecordBatch]]:
    """The rows of a snapshot, some thousands at a time, from the start whenever it is called."""

    def read() -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        rows = LIST_BATCH if any(each.startswith("Array") for each in view.fields.values()) else BATCH
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(rows, use_threads=False)

    return read


def forget_packed(settings: Settings, entity: str, value: str) -> int:
    store = packed_store(settings)
    return store.delete(f"{entity}_id", value) if store.file.path.is_file() else 0


def stock(
    settings: Settings, store: FeatureStore, views: Sequence[View], cutoff: datetime, advance: Advance
) -> dict[str, int]:
    """Load snapshots through Feast, then drop the entities that are gone; returns the rows of each."""
    import pyarrow.parquet as pq

    rows = {}
    for view in views:
        path = part(settings, view, cutoff)
        for batch in pq.ParquetFile(path).iter_batches(BATCH):
            store.write_to_online_store(view.name, df=batch.to_pandas())
        ids = pq.read_table(path, columns=[view.key])[view.key].to_pylist()
        kept = {entity_key(view.key, each) for each in ids}
        if settings.online_store == "sqlite":
            drop_from_sqlite(settings, view, kept)
        else:
            drop_from_redis(redis(store), view, kept)
        rows[view.name] = len(ids)
        advance(view.name, len(VIEWS))
    return rows


def drop_from_sqlite(settings: Settings, view: View, kept: Iterable[bytes]) -> None:
    """Remove what earlier loads left of entities that are gone: Feast has no delete, and nothing expires."""
    table = f'"{PROJECT}_{view.name}"'
    with closing(sqlite3.connect(settings.online / "online.db")) as store, store:
        store.execute("create temp table kept (entity_key blob primary key)")
        store.executemany("insert into kept values (?)", ([each] for each in kept))
        store.execute(f"delete from {table} where entity_key not in (select entity_key from kept)")


def redis(store: FeatureStore) -> Any:
    """The client of Feast's Redis store."""
    provider: Any = store._get_provider()
    return provider.online_store._get_client(store.config.online_store)


def drop_from_redis(client: Any, view: View, kept: set[bytes]) -> None:
    """The same in Redis, where an entity is one hash with the fields of all views."""
    from feast.infra.online_stores.helpers import _mmh3

    fields = [f"_ts:{view.name}", *(_mmh3(f"{view.name}:{field}") for field in view.fields)]
    project = PROJECT.encode()
    for key in client.scan_iter(match=prefix(view.key) + b"*" + project, count=10_000):
        if key.removesuffix(project) not in kept:
            client.hdel(key, *fields)


def forget_stock(settings: Settings, store: FeatureStore, entity: str, value: str) -> int:
    key = entity_key(f"{entity}_id", value)
    if settings.online_store == "sqlite":
        return forget_in_sqlite(settings, entity, key)
    names = [f"_ts:{view.name}" for view in VIEWS if view.entity == entity]
    client = redis(store)
    count = sum(each is not None for each in client.hmget(key + PROJECT.encode(), names))
    client.delete(key + PROJECT.encode())
    return count


def forget_in_sqlite(settings: Settings, entity: str, key: bytes) -> int:
    count = 0
    with closing(sqlite3.connect(settings.online / "online.db")) as store, store:
        known = {name for (name,) in store.execute("select name from sqlite_master where type = 'table'")}
        for table in (f"{PROJECT}_{view.name}" for view in VIEWS if view.entity == entity):
            if table in known:
                done = store.execute(f'delete from "{table}" where entity_key = ?', [key])
                count += done.rowcount > 0
    return count

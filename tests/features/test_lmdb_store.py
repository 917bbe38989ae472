"""The LMDB store as Feast sees it: stock reads and writes give what SQLite gives; keys are Feast's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.arrow_rows import packed_rows
from features.entity_keys import LONGEST, entity_key, stored_key
from features.packed_store import Load, PackedStore
from features.row_file import row_file
from features.row_format import KINDS, Layout, Picked, packed, times, value
from patron.errors import FeatureError

FIELDS = {f"f{place:02d}": kind for place, kind in enumerate(KINDS)}
NOON = datetime(2024, 1, 1, 12, 0, 0, 250, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    dict(zip(FIELDS, each, strict=True))
    for each in (
        (2**53, -0.5, True, "plain", [1, -2], [0.1, float("inf")], [True, False], ["a", "bcd"]),
        (-1, float("nan"), False, "\u8336 \U0001f375", [], [float("nan")], [], ["\u00e9t\u00e9", "", "tea"]),
        (None,) * len(KINDS),
        (0, 0.0, None, "", None, [], None, []),
    )
]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or (one != one and other != other))


def test_keys_are_feasts() -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    for found in ("", "c1", "\u8336", "x" * 600, 0, -1, 2**63 - 1):
        held = Value(int64_val=found) if isinstance(found, int) else Value(string_val=found)
        key = EntityKey(join_keys=["customer_id"], entity_values=[held])
        assert entity_key("customer_id", found) == serialize_entity_key(key, 3)


def test_keys_that_lmdb_cannot_take_are_told_apart() -> None:
    keys = {stored_key(entity_key("customer_id", "x" * size)) for size in range(400, 900)}
    assert len(keys) == 500
    assert max(map(len, keys)) <= LONGEST


def test_every_value_comes_back_from_a_packed_row() -> None:
    layout = Layout(FIELDS)
    for row in ROWS:
        stored = packed(layout, row, 7, 9)
        assert times(stored) == (7, 9)
        for name, held in row.items():
            assert same(value(layout, stored, name), held), (name, held)


def test_columns_of_arrow_become_the_same_rows() -> None:
    """Read back, also out of a slice of the table."""
    schema = {"Int64": pa.int64(), "Float64": pa.float64(), "Bool": pa.bool_(), "String": pa.string()}
    kinds = {name: schema.get(kind) or pa.list_(schema[kind[6:-1]]) for name, kind in FIELDS.items()}
    found = [{"id": f"k{at}", "at": NOON, **row} for at, row in enumerate(ROWS * 3)]
    moment = pa.timestamp("us", "UTC")
    table = pa.Table.from_pylist(found, pa.schema({"id": pa.string(), "at": moment, **kinds}))
    layout = Layout(FIELDS)
    for start, size in ((0, 12), (1, 7), (5, 1)):
        rows = dict(packed_rows(table.to_batches()[0].slice(start, size), layout, "id", "at", "at"))
        assert len(rows) == size
        for at in range(start, start + size):
            stored = bytes(rows[entity_key("id", f"k{at}")])
            assert times(stored) == (1704110400000250, 1704110400000250)
            for name, held in ROWS[at % len(ROWS)].items():
                assert same(value(layout, stored, name), held), (at, name)


def test_few_rows_and_many_are_read_alike() -> None:
    fields = {f"n{each}": "Float64" if each % 2 else "Int64" for each in range(70)} | {"text": "String"}
    layout, rng = Layout(fields), np.random.default_rng(1)
    rows = [
        packed(
            layout,
            {name: int(rng.integers(9)) if rng.random() < 0.7 else None for name in fields if name != "text"},
            0,
            0,
        )
        for _ in range(40)
    ]
    picked = Picked(layout, ("text", "n69", "n3", "n0", "n64"))
    columns, told = picked.columns([*rows, None])
    for at, row in enumerate([*rows, None]):
        one, known = picked.columns([row])
        values, known_too = picked.one(row)
        assert known[0] == known_too == told[at]
        for name, column in columns.items():
            assert same(one[name].tolist(), column[at : at + 1].tolist())
            assert same(values[name], column[at].item() if name != "text" else column[at])
    assert not told[-1] and told[:-1].all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(FeatureError, match="UnixTimestamp"):
        Layout({"at": "UnixTimestamp"})
    with pytest.raises(FeatureError, match="f00 is no Int64"):
        packed(Layout(FIELDS), {"f00": "one"}, 0, 0)
    gap = pa.record_batch({"id": ["a"], "at": [NOON], "list": [[1, None]]})
    with pytest.raises(FeatureError, match="gap"):
        packed_rows(gap, Layout({"list": "Array(Int64)"}), "id", "at", "at")
    with pytest.raises(FeatureError, match="no column other"):
        packed_rows(gap, Layout({"other": "Int64"}), "id", "at", "at")
    with pytest.raises(FeatureError, match="cut short"):
        Picked(Layout(FIELDS), ("f00",)).columns([b"short"])


class TestStockReads:
    """Stock writes and reads of two Feast stores that differ in the plug-in alone."""

    @pytest.fixture(scope="class", params=["String", "Int64"])
    @classmethod
    def stores(
        cls, request: Any, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[tuple[Any, Any, list[Any]]]:
        home = tmp_path_factory.mktemp("parity")
        online = {
            "lmdb": {"type": "features.lmdb_store.LmdbOnlineStore", "path": str(home / "online.mdb")},
            "sqlite": {"type": "sqlite", "path": str(home / "online.db")},
        }
        names = [7, -8, 2**40, 0] if request.param == "Int64" else ["a", "\u00fc", "long" * 40, "x y"]
        found = [cls.opened(home / name, store, request.param, names) for name, store in online.items()]
        yield found[0], found[1], names

    @staticmethod
    def opened(folder: Path, online: dict[str, str], key: str, names: list[Any]) -> Any:
        import pandas as pd
        from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType, types

        from features.store import feast_type

        folder.mkdir()
        registry = str(folder / "registry.db")
        config = RepoConfig(
            project="shop",
            provider="local",
            registry=registry,
            offline_store={"type": "duckdb"},
            online_store=online,
            entity_key_serialization_version=3,
        )
        store = FeatureStore(config=config)
        entity = Entity(name="who", join_keys=["who_id"], value_type=getattr(ValueType, key.upper()))
        schema = [Field(name=name, dtype=feast_type(kind)) for name, kind in FIELDS.items()]
        schema.append(Field(name="who_id", dtype=getattr(types, key)))
        source = FileSource(name="rows", path=str(folder / "rows.parquet"), timestamp_field="at")
        view = FeatureView(name="view", entities=[entity], schema=schema, source=source, ttl=timedelta(0))
        store.apply([entity, view])
        frame = pd.DataFrame(ROWS, dtype=object).assign(who_id=names, at=NOON)
        store.write_to_online_store("view", df=frame)
        return store

    @staticmethod
    def read(store: Any, names: list[Any]) -> dict[str, list[Any]]:
        features = [f"view:{name}" for name in FIELDS]
        rows = [{"who_id": name} for name in names]
        answer: dict[str, list[Any]] = store.get_online_features(features=features, entity_rows=rows).to_dict(
            include_event_timestamps=True
        )
        return answer

    def test_they_answer_alike(self, stores: tuple[Any, Any, list[Any]]) -> None:
        lmdb, sqlite, names = stores
        unknown = 99 if isinstance(names[0], int) else "nobody"
        one, other = (self.read(each, [*names, unknown, names[0]]) for each in (lmdb, sqlite))
        assert one.keys() == other.keys()
        for name, values in other.items():
            if not name.endswith("__ts"):
                assert same(one[name], values), name
        assert one["f00"][0] == one["f00"][-1] == 2**53
        assert one["f00__ts"][0] == int(NOON.timestamp())

    def test_an_older_row_is_not_written_over_a_newer_one(self, stores: tuple[Any, Any, list[Any]]) -> None:
        import pandas as pd

        lmdb, _, names = stores
        for moment, number, expected in (
            (NOON + timedelta(days=1), 5, 5),
            (NOON, 6, 5),
            (NOON + timedelta(days=1), 7, 7),
        ):
            row = ROWS[0] | {"f00": number, "who_id": names[0], "at": moment}
            lmdb.write_to_online_store("view", df=pd.DataFrame([row]))
            assert self.read(lmdb, names[:1])["f00"] == [expected]


def test_a_load_keeps_what_was_written_since_and_is_newer(tmp_path: Path) -> None:
    store = PackedStore(row_file(tmp_path / "rows.mdb"), "shop")
    layout = Layout({"n": "Int64"})

    def load(day: int, **numbers: int) -> None:
        moment = NOON + timedelta(days=day)
        columns = {"id": list(numbers), "at": [moment] * len(numbers), "n": list(numbers.values())}
        batches = [pa.record_batch(columns)]
        store.load([Load("view", "id", {"n": "Int64"}, moment, lambda: batches, "at", "at")], as_of=moment)

    def write(day: int, name: str, number: int) -> None:
        event = int((NOON + timedelta(days=day)).timestamp() * 1_000_000)
        row = packed(layout, {"n": number}, event, event)
        store.write("view", "id", {"n": "Int64"}, [(entity_key("id", name), row)])

    def held() -> dict[str, int | None]:
        names = ["a", "b", "c", "d"]
        rows = store.read([("view", [entity_key("id", each) for each in names])])[1][0]
        return {
            name: value(layout, row, "n") for name, row in zip(names, rows, strict=True) if row is not None
        }

    load(0, a=1, b=2, c=3)
    write(1, "a", 10)
    write(3, "b", 20)
    write(3, "d", 40)
    assert held() == {"a": 10, "b": 20, "c": 3, "d": 40}
    load(2, a=100, b=200)
    assert held() == {"a": 100, "b": 20, "d": 40}, "c is gone; b and d were written after the load's moment"
    load(1, a=7, c=8)
    assert held() == {"a": 7, "b": 20, "c": 8, "d": 40}, "an older snapshot replaces what was loaded"
    assert store.document()["as_of"] == (NOON + timedelta(days=1)).isoformat()
    assert (store.delete("id", "b"), store.delete("id", "b"), store.delete("other_id", "a")) == (1, 0, 0)
    store.drop(["view"])
    assert store.document()["views"] == {} and held() == {}

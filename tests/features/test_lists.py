"""Lists packed by rank keep their order and every value, whatever stands in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features import lists

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
ROWS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 20),
        TEXT,
        st.one_of(st.none(), st.integers(0, lists.STEP - 2)),
    ),
    min_size=1,
    max_size=30,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    connection = ibis.duckdb.connect(threads=1)
    yield connection
    connection.disconnect()


def listed(engine: Any, rows: list[tuple[Any, ...]], limit: int) -> dict[str, dict[str, Any]]:
    schema = pa.schema([("key", "string"), ("at", "int64"), ("name", "string"), ("value", "int64")])
    columns = [
        pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    table = ibis.memtable(pa.Table.from_arrays(columns, schema=schema))
    kept = lists.newest_last(table, "key", ["at", "name", "value"], limit)
    found = kept.group_by("key").agg(
        names=lists.strings(kept.rank, kept.name),
        moments=lists.integers(kept.rank, kept["at"]),
        days=lists.days(kept.rank, kept.value),
    )
    return {row.pop("key"): row for row in engine.to_pyarrow(found).to_pylist()}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, limit=st.integers(1, 12))
def test_lists_hold_the_newest_in_order(engine: Any, rows: list[tuple[Any, ...]], limit: int) -> None:
    rows = list({row[:3]: row for row in rows}.values())  # a total order, without missing values in it
    found = listed(engine, rows, limit)
    assert sorted(found) == sorted({row[0] for row in rows})
    for key, row in found.items():
        newest = sorted((each for each in rows if each[0] == key), key=lambda each: each[1:3])[-limit:]
        assert row["names"] == [name for _, _, name, _ in newest]
        assert row["moments"] == [at for _, at, _, _ in newest]
        assert row["days"] == [-1.0 if span is None else span / 86_400 for *_, span in newest]


def test_the_longest_list_keeps_its_ranks_apart(engine: Any) -> None:
    rows = [("a", each, f"{each}", None) for each in range(300)]
    assert listed(engine, rows, 300)["a"]["names"] == [f"{each}" for each in range(300)]

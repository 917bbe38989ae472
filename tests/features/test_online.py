"""The online store serves what the snapshot holds, whichever store it is; `check` finds where it does not."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from features.check import check, same
from features.loading import packed_store
from features.online import PROJECT
from features.row_file import Writing
from features.row_format import Layout
from features.rows import Rows, column
from features.store import apply, materialize
from features.views import SERVICES
from patron.settings import Settings
from tests.features.online_contract import LINES, OnlineStoreTests
from tests.features.snapshots import built


class TestLmdb(OnlineStoreTests):
    online_store = "lmdb"


class TestSqlite(OnlineStoreTests):
    online_store = "sqlite"


class TestRedis(OnlineStoreTests):
    """Each test with a home of its own takes over the server: what the last load left is dropped."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("no redis-server on this machine")
        pytest.importorskip("redis", reason="the extra `redis` is not installed")
        port = free_port()
        words = [binary, "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
        process = subprocess.Popen(words, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL)
        try:
            wait_for(port)
            cls.online_store = f"redis://127.0.0.1:{port}/0"
            yield
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("redis-server did not start")


def test_feast_knows_the_services(tmp_path: Path) -> None:
    settings = built(tmp_path, ["2024-02-01"], order_lines=LINES)
    assert sorted(each.name for each in apply(settings).list_feature_services()) == sorted(SERVICES)


@pytest.fixture
def loaded(tmp_path: Path) -> Settings:
    settings = built(tmp_path, ["2024-02-01"], order_lines=LINES)
    materialize(settings)
    return settings


def test_check_finds_a_value_that_was_tampered_with(loaded: Settings) -> None:
    swap(loaded, "spend_total", "recency_days")
    assert check(loaded)["differences"] == {"customer_activity:recency_days": 3}


def swap(settings: Settings, source: str, target: str) -> None:
    """Store the values of one feature under another's name."""
    store = packed_store(settings)
    at = Layout(store.document()["views"]["customer_activity"]["fields"]).at

    def change(writing: Writing) -> None:
        table = store.table("customer_activity")
        for key, row in list(writing.items(table)):
            cells = bytearray(row)
            cells[8 * at[target] : 8 * at[target] + 8] = row[8 * at[source] :][:8]
            writing.put(table, [(key, bytes(cells))])

    store.file.write([store.table("customer_activity")], change)


def test_check_finds_what_was_tampered_with_in_sqlite(tmp_path: Path) -> None:
    settings = built(tmp_path, ["2024-02-01"], order_lines=LINES).model_copy(
        update={"online_store": "sqlite"}
    )
    materialize(settings)
    with closing(sqlite3.connect(settings.online / "online.db")) as store, store:
        store.execute(f'delete from "{PROJECT}_customer_activity" where feature_name = ?', ["spend_7d"])
    assert check(settings)["differences"] == {"customer_activity:spend_7d": 3}


def test_take_keeps_positions_together() -> None:
    lists = column([["x"], None, ["y", "z"]], "Array(String)")
    columns = {
        "number": column([1, None, 3], "Int64"),
        "names": lists,
        "flag": column([True, None, False], "Bool"),
    }
    rows = Rows(["a", "b", "c"], columns, np.array([True, False, True]), None)
    for positions in (np.array([2, 0]), np.array([True, False, True])):
        taken = rows.take(positions)
        at = np.arange(3)[positions]
        assert taken.ids == [rows.ids[each] for each in at]
        assert taken.known.all()
        assert taken.columns["number"].tolist() == [[1, None, 3][each] for each in at]
        assert [each.tolist() for each in taken.columns["names"]] == [
            [["x"], [], ["y", "z"]][each] for each in at
        ]
    assert len(rows.take(np.zeros(3, dtype=bool))) == 0


def test_missing_equals_missing_and_nothing_else() -> None:
    assert same(np.nan, np.nan) and same(None, None) and same("x", "x")
    assert not same(0.0, np.nan) and not same(None, "x") and not same(1.0, np.nextafter(1.0, 2))
    assert not same(np.array([1.0]), np.array([1.0, 2.0]))

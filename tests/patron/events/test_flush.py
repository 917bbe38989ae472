"""Moving the log into the lake: nothing lost, nothing twice, wherever it is cut short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from patron.errors import LakeError
from patron.events import flush as flushing
from patron.events import pruning
from patron.events.event import Event
from patron.events.flush import flush, state
from patron.events.log import EventLog
from patron.lake.commit import only_writer
from patron.lake.contract import ARROW_SCHEMAS
from patron.lake.tables import Lake
from patron.settings import PROJECT, Settings, load_settings
from tests.shops import write_lake

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, threads=1, memory_limit="512MB")


@pytest.fixture
def log(settings: Settings) -> Iterator[EventLog]:
    opened = EventLog(settings.events)
    yield opened
    opened.close()


def event(number: int, **more: Any) -> Event:
    who = more if {"customer_id", "session_id"} & set(more) else {**more, "customer_id": "ann"}
    return Event(f"e{number}", NOON + timedelta(minutes=number), "view_item", **who)


def rows(settings: Settings, table: str = "events") -> list[dict[str, Any]]:
    files = Lake(settings.lake).files(table)
    found = [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]
    assert sum(pq.read_metadata(path).num_rows for path in files) == Lake(settings.lake).rows(table)
    return found


def ids(settings: Settings) -> list[str]:
    return sorted(row["event_id"] for row in rows(settings))


def by_id(settings: Settings, table: str) -> dict[str, dict[str, Any]]:
    found = rows(settings, table)
    keyed = {row[f"{table[:-1]}_id"]: row for row in found}
    assert len(keyed) == len(found)
    return keyed


def test_a_log_that_is_not_there_changes_nothing(settings: Settings, log: EventLog):
    assert flush(settings, log)["events"] == {"read": 0, "accepted": 0, "duplicate": 0}
    assert list(settings.home.iterdir()) == []


def test_events_arrive_with_the_types_of_the_contract(settings: Settings, log: EventLog):
    log.append([event(1, product_id="p", value=2.675, currency="EUR", query="tea")])
    assert flush(settings, log)["events"] == {"read": 1, "accepted": 1, "duplicate": 0}
    [path] = Lake(settings.lake).files("events")
    assert pq.read_schema(path).equals(ARROW_SCHEMAS["events"])
    [row] = rows(settings)
    assert (row["event_id"], row["occurred_at"], row["customer_id"], row["query"]) == (
        "e1",
        NOON + timedelta(minutes=1),
        "ann",
        "tea",
    )
    assert float(row["value"]) == 2.675


def test_what_was_moved_is_not_moved_again(settings: Settings, log: EventLog):
    log.append([event(1), event(2)])
    flush(settings, log)
    manifest = (settings.lake / "manifest.json").read_bytes()
    assert flush(settings, log)["events"]["read"] == 0
    assert (settings.lake / "manifest.json").read_bytes() == manifest
    log.append([event(2), event(3)])
    assert flush(settings, log)["events"] == {"read": 1, "accepted": 1, "duplicate": 0}
    assert ids(settings) == ["e1", "e2", "e3"]


def test_small_files_are_joined_and_full_ones_left(
    settings: Settings, log: EventLog, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(flushing, "FULL", 3)
    for number in range(7):
        log.append([event(number)])
        flush(settings, log)
    assert [pq.read_metadata(each).num_rows for each in Lake(settings.lake).files("events")] == [3, 3, 1]
    assert ids(settings) == [f"e{number}" for number in range(7)]


def test_several_batches_make_one_flush(settings: Settings, log: EventLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flushing, "BATCH", 4)
    log.append([event(number) for number in range(10)])
    assert flush(settings, log)["events"] == {"read": 10, "accepted": 10, "duplicate": 0}
    assert len(ids(settings)) == 10


def test_events_that_an_import_brought_are_known(settings: Settings, log: EventLog):
    write_lake(settings.home, events=[event(1)._asdict()], order_lines=[])
    log.append([event(1), event(2)])
    assert flush(settings, log)["events"] == {"read": 2, "accepted": 1, "duplicate": 1}
    assert ids(settings) == ["e1", "e2"]
    assert Lake(settings.lake).facts()["sources"] == ["test"]
    assert Lake(settings.lake).facts()["currency"] == "EUR"


def test_a_new_log_begins_at_its_beginning_and_brings_nothing_twice(settings: Settings, log: EventLog):
    log.append([event(number) for number in range(5)])
    flush(settings, log)
    log.close()
    for path in settings.events.iterdir():
        path.unlink()
    log.append([event(4), event(5)])
    assert flush(settings, log)["events"] == {"read": 2, "accepted": 1, "duplicate": 1}
    assert len(ids(settings)) == 6


def test_a_new_lake_gets_all_that_the_log_holds(settings: Settings, log: EventLog):
    log.append([event(1)])
    flush(settings, log)
    (settings.lake / "manifest.json").unlink()
    assert flush(settings, log)["events"]["accepted"] == 1


def test_sessions_carry_their_customer_from_the_sign_in_on(settings: Settings, log: EventLog):
    log.append(
        [
            event(1, session_id="s"),
            event(2, session_id="s", customer_id="ann"),
            event(3, session_id="s"),
            event(4, session_id="s", customer_id="bob"),
            event(5, session_id="s"),
            event(6, session_id="t"),
        ]
    )
    flush(settings, log)
    found = {row["event_id"]: row["customer_id"] for row in rows(settings)}
    assert found == {"e1": None, "e2": "ann", "e3": "ann", "e4": "bob", "e5": "bob", "e6": None}
    log.append([event(7, session_id="s")])
    flush(settings, log)
    assert {row["event_id"]: row["customer_id"] for row in rows(settings)}["e7"] == "bob"


def test_updates_replace_the_fields_given_and_the_last_wins(settings: Settings, log: EventLog):
    write_lake(
        settings.home,
        products=[
            {"product_id": "p1", "title": "Tea", "price": 3.5, "in_stock": True},
            {"product_id": "p2", "title": "Cup", "price": 7},
        ],
        order_lines=[],
    )
    log.update("products", "p1", {"price": 4.25, "in_stock": False})
    log.update("products", "p1", {"price": 4.5})
    log.update("products", "p3", {"title": "Pot", "visible": False})
    log.update("customers", "ann", {"region": "north", "signed_up_at": "2024-01-01T00:00:00+00:00"})
    assert flush(settings, log)["updates"] == {
        "products": {"read": 3, "changed": 1, "new": 1},
        "customers": {"read": 1, "changed": 0, "new": 1},
    }
    found = by_id(settings, "products")
    assert [float(found[each]["price"] or 0) for each in ("p1", "p2", "p3")] == [4.5, 7, 0]
    assert [found[each]["title"] for each in ("p1", "p2", "p3")] == ["Tea", "Cup", "Pot"]
    assert [found[each]["in_stock"] for each in ("p1", "p2", "p3")] == [False, None, None]
    assert [found[each]["visible"] for each in ("p1", "p2", "p3")] == [True, True, False]
    ann = by_id(settings, "customers")["ann"]
    assert (ann["region"], ann["consent_training"]) == ("north", True)
    assert ann["signed_up_at"] == datetime(2024, 1, 1, tzinfo=UTC)
    for table in ("products", "customers"):
        [path] = Lake(settings.lake).files(table)
        assert pq.read_schema(path).equals(ARROW_SCHEMAS[table])


def test_every_kind_of_value_can_be_updated(settings: Settings, log: EventLog):
    log.update("offers", "o", {"kind": "coupon", "cost": 1.5, "channels": ["email", "web"], "daily_cap": 3})
    log.update("customers", "ann", {"attributes": {"newsletter": True}, "birthday": "1990-05-01"})
    flush(settings, log)
    offer = by_id(settings, "offers")["o"]
    assert (offer["channels"], offer["daily_cap"], float(offer["cost"])) == (["email", "web"], 3.0, 1.5)
    ann = by_id(settings, "customers")["ann"]
    assert json.loads(ann["attributes"]) == {"newsletter": True}
    assert ann["birthday"] == datetime(1990, 5, 1, tzinfo=UTC)


def test_an_update_takes_a_value_away_by_null(settings: Settings, log: EventLog):
    write_lake(settings.home, products=[{"product_id": "p1", "price": 3.5, "visible": False}])
    log.update("products", "p1", {"price": None, "visible": None})
    flush(settings, log)
    assert by_id(settings, "products")["p1"]["price"] is None
    assert by_id(settings, "products")["p1"]["visible"] is True


def test_the_log_keeps_what_live_answers_need_and_forgets_the_rest(settings: Settings, log: EventLog):
    log.append([event(1)])
    assert flush(settings, log)["pruned"] == 0
    assert len(log.recent("ann", None)) == 1
    past = "update flushes set flushed_at = '2024-01-01T00:00:00.000000+00:00'"
    log.database.write(lambda connection: connection.execute(past))
    log.append([event(2)])
    assert flush(settings, log)["pruned"] == 1
    assert [each.event_id for each in log.recent("ann", None)] == ["e2"]
    assert log.append([event(1)]) == [False]
    assert flush(settings, log)["events"]["read"] == 0
    assert ids(settings) == ["e1", "e2"]


def test_old_updates_are_folded_and_none_is_lost(settings: Settings, log: EventLog):
    log.update("products", "p1", {"price": 1, "in_stock": False})
    last = log.update("products", "p1", {"price": 2})
    log.update("customers", "p1", {"region": "north"})
    flush(settings, log)
    newer = log.update("products", "p1", {"price": 3})
    pruning.prune(log, 0, newer - 1, datetime.now(UTC) + timedelta(hours=1))
    assert log.updates("products", 0) == [
        (last, "p1", {"price": 2, "in_stock": False}),
        (newer, "p1", {"price": 3}),
    ]


def test_a_flush_leaves_files_to_those_who_read_them(settings: Settings, log: EventLog):
    log.append([event(1)])
    flush(settings, log)
    before = Lake(settings.lake)
    [path] = before.files("events")
    for number in (2, 3):
        log.append([event(number)])
        flush(settings, log)
    assert path.is_file()
    os.utime(path, times=(time.time() - 90_000,) * 2)
    log.append([event(4)])
    flush(settings, log)
    assert not path.exists()


def test_one_writer_at_a_time(settings: Settings, log: EventLog):
    log.append([event(1)])
    with only_writer(settings.home), pytest.raises(LakeError, match="running"):
        flush(settings, log)
    assert flush(settings, log)["events"]["accepted"] == 1


def test_the_state_counts_what_waits(settings: Settings, log: EventLog):
    assert state(settings, log)["accepted"] == 0
    log.append([event(1), event(2)])
    flush(settings, log)
    log.append([event(3)])
    log.update("products", "p", {"price": 1})
    assert state(settings, log) == {
        "accepted": 3,
        "events": 3,
        "unflushed_events": 1,
        "unflushed_updates": 1,
        "quarantined": 0,
    }


KILLED = """
    import os, signal, sys
    import patron.events.flush as flushing, patron.events.pruning as pruning, patron.lake.commit as commit
    from patron.events.log import EventLog
    from patron.settings import load_settings

    def die(*ignored, **named):
        os.kill(os.getpid(), signal.SIGKILL)

    home, point = sys.argv[1:]
    if point == "while a file is made":
        flushing.count = die
    elif point == "before a file is moved":
        commit.move = die
    elif point == "before the manifest":
        commit.publish_json = die
    elif point == "after the manifest":
        pruning.remember = die
    settings = load_settings(home=home, threads=1, memory_limit="512MB")
    flushing.flush(settings, EventLog(settings.events))
"""


@pytest.mark.parametrize(
    "point", ["while a file is made", "before a file is moved", "before the manifest", "after the manifest"]
)
def test_killed(settings: Settings, log: EventLog, point: str):
    log.append([event(0)])
    flush(settings, log)
    log.append([event(number) for number in range(1, 20)])
    log.update("products", "p", {"price": 2})
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(settings.home), point], cwd=PROJECT, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    flush(settings, log)
    assert ids(settings) == sorted(f"e{number}" for number in range(20))
    assert float(by_id(settings, "products")["p"]["price"]) == 2
    assert list((settings.home / "tmp").iterdir()) == []

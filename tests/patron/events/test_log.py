"""The event log: what is accepted once, whose it is, and that it is on disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest

from patron.errors import EventLogError
from patron.events.event import Event
from patron.events.log import EventLog

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    opened = EventLog(tmp_path / "events")
    yield opened
    opened.close()


NUMBERS = count()


def event(minute: float = 0, name: str = "view_item", **more: Any) -> Event:
    more.setdefault("event_id", f"e{next(NUMBERS)}")
    return Event(occurred_at=NOON + timedelta(minutes=minute), name=name, **more)


def products(events: list[Event]) -> list[str | None]:
    return [each.product_id for each in events]


def test_reading_makes_no_file(log: EventLog, tmp_path: Path):
    assert log.recent("ann", "s1") == []
    assert log.updates("products", 0) == []
    assert list(tmp_path.iterdir()) == []


def test_an_event_comes_back_as_it_was_given(log: EventLog):
    full = event(
        customer_id="ann",
        session_id="s1",
        product_id="p1",
        query="tea",
        value=12.5,
        currency="EUR",
        recommendation_id="r1",
        decision_id="d1",
    )
    bare = event(1, "search", customer_id="ann")
    assert log.append([full, bare]) == [True, True]
    assert log.recent("ann", None) == [full, bare]


def test_times_come_back_in_utc(log: EventLog):
    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    log.append([Event("e", local, "view_item", "ann")])
    assert log.recent("ann", None)[0].occurred_at == NOON
    assert log.recent("ann", None)[0].occurred_at.utcoffset() == timedelta(0)


def test_an_event_is_accepted_once_within_a_batch_across_batches_and_openings(log: EventLog):
    one, two = event(customer_id="ann"), event(customer_id="ann")
    assert log.append([one, one, two]) == [True, False, True]
    assert log.append([two]) == [False]
    again = EventLog(log.database.path.parent)
    assert again.append([one, two, event(customer_id="ann")]) == [False, False, True]
    assert len(log.recent("ann", None)) == 3
    again.close()


def test_the_newest_are_last_and_no_more_than_the_limit(log: EventLog):
    log.append([event(minute, customer_id="ann", product_id=f"p{minute}") for minute in (5, 1, 4, 2, 3)])
    assert products(log.recent("ann", None)) == ["p1", "p2", "p3", "p4", "p5"]
    assert products(log.recent("ann", None, limit=2)) == ["p4", "p5"]


def test_the_same_moment_keeps_the_order_of_arrival(log: EventLog):
    log.append([event(product_id=f"p{each}", session_id="s") for each in range(5)])
    assert products(log.recent(None, "s")) == ["p0", "p1", "p2", "p3", "p4"]


def test_signing_in_merges_what_the_session_did_before_and_after(log: EventLog):
    log.append([event(1, session_id="s", product_id="before")])
    assert log.recent("ann", None) == []
    assert products(log.recent("ann", "s")) == ["before"]
    log.append([event(2, session_id="s", customer_id="ann", product_id="signs")])
    log.append([event(3, session_id="s", product_id="after")])
    assert products(log.recent("ann", None)) == ["before", "signs", "after"]
    assert products(log.recent("ann", "s")) == ["before", "signs", "after"]
    assert products(log.recent(None, "s")) == ["before", "signs", "after"]


def test_a_second_customer_has_the_session_from_then_on(log: EventLog):
    log.append(
        [
            event(1, session_id="s", product_id="nobody"),
            event(2, session_id="s", customer_id="ann", product_id="ann"),
            event(3, session_id="s", product_id="still ann"),
            event(4, session_id="s", customer_id="bob", product_id="bob"),
            event(5, session_id="s", product_id="now bob"),
        ]
    )
    assert products(log.recent("ann", "s")) == ["nobody", "ann", "still ann"]
    assert products(log.recent("bob", "s")) == ["bob", "now bob"]


@pytest.mark.parametrize("seed", range(10))
def test_whose_an_event_is_does_not_depend_on_the_order_of_arrival(log: EventLog, seed: int):
    import random

    rng = random.Random(seed)
    events = [
        event(minute, session_id="s", customer_id=rng.choice([None, None, "ann", "bob"]))
        for minute in range(12)
    ]
    signed = [each.customer_id for each in events if each.customer_id]
    owner, expected = (signed or [None])[0], {"ann": [], "bob": []}
    for each in events:
        owner = each.customer_id or owner
        if owner:
            expected[owner].append(each)
    rng.shuffle(events)
    for each in events:
        log.append([each])
    assert log.recent("ann", None) == expected["ann"]
    assert log.recent("bob", None) == expected["bob"]


def test_a_session_beside_a_customer_adds_only_what_is_nobodys(log: EventLog):
    log.append([event(1, session_id="s", customer_id="bob"), event(2, session_id="t", product_id="p")])
    assert log.recent("ann", "s") == []
    log.append([event(3, customer_id="ann", product_id="q")])
    assert products(log.recent("ann", "t")) == ["p", "q"]


def test_updates_are_numbered_and_kept_apart_by_table(log: EventLog):
    first = log.update("products", "p1", {"price": 1.5})
    log.update("customers", "ann", {"region": "north"})
    last = log.update("products", "p1", {"in_stock": False})
    assert log.updates("products", 0) == [(first, "p1", {"price": 1.5}), (last, "p1", {"in_stock": False})]
    assert log.updates("products", first) == [(last, "p1", {"in_stock": False})]
    assert log.updates("products", last) == []


def test_threads_share_commits_and_each_learns_its_own_outcome(log: EventLog):
    accepted: list[bool] = []

    def work(number: int) -> None:
        for each in range(20):
            accepted.extend(log.append([event(event_id=f"x{(number + each) % 50}", customer_id="ann")]))

    threads = [threading.Thread(target=work, args=[number]) for number in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(accepted) == 320
    assert sum(accepted) == len(log.recent("ann", None, limit=1000)) == 35


def test_one_that_fails_does_not_take_the_others_with_it(log: EventLog):
    def broken(connection: Any) -> None:
        connection.execute("insert into seen values (x'00')")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        log.database.write(broken)
    reader = log.database.reader()
    assert reader.execute("select count(*) from seen").get == 0


def test_a_log_that_cannot_be_written_says_so(log: EventLog):
    log.append([event(customer_id="ann")])
    other = apsw.Connection(str(log.database.path))
    other.execute("begin immediate")
    log.database._writer.set_busy_timeout(1)
    with pytest.raises(EventLogError, match="cannot be written"):
        log.append([event(customer_id="ann")])
    other.execute("rollback")
    assert log.append([event(customer_id="ann")]) == [True]
    other.close()


def test_what_is_written_is_seen_by_another_opening_at_once(log: EventLog):
    other = EventLog(log.database.path.parent)
    assert other.recent("ann", None) == []
    log.append([event(customer_id="ann")])
    assert len(other.recent("ann", None)) == 1
    other.close()

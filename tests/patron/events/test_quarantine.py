"""Refused events: kept once with a reason, and judged again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from patron.events import quarantine
from patron.events.log import EventLog
from patron.events.quarantine import quarantined, reasons, receive, replay

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
GOOD = {"event_id": "e1", "occurred_at": "2026-01-31T11:00:00Z", "name": "view_item", "customer_id": "ann"}
EARLY = GOOD | {"event_id": "e2", "occurred_at": "2026-01-31T13:00:00Z"}
"""An hour from now."""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    opened = EventLog(tmp_path)
    yield opened
    opened.close()


def test_the_good_are_accepted_and_the_bad_are_told_by_position(log: EventLog):
    found = receive(log, [GOOD, 3, EARLY, GOOD], NOW)
    assert (found.accepted, found.duplicates) == (1, 1)
    assert [(place, each.code) for place, each in found.refused] == [
        (1, "not_an_object"),
        (2, "in_the_future"),
    ]
    assert [each.event for each in quarantined(log)] == [3, EARLY]
    assert reasons(log) == {"in_the_future": 1, "not_an_object": 1}


def test_nothing_sent_is_nothing_written(log: EventLog, tmp_path: Path):
    assert receive(log, [], NOW).accepted == 0
    assert list(tmp_path.iterdir()) == []
    assert quarantined(log) == []
    assert reasons(log) == {}


def test_the_same_bad_event_is_kept_once_and_counted(log: EventLog):
    for _ in range(3):
        receive(log, [EARLY], NOW)
    assert [each.times for each in quarantined(log)] == [3]


def test_what_is_valid_later_is_accepted_then(log: EventLog):
    receive(log, [EARLY, {}], NOW)
    assert replay(log, NOW) == {"judged": 2, "accepted": 0, "duplicates": 0, "refused": 2}
    later = NOW + timedelta(hours=2)
    assert replay(log, later) == {"judged": 2, "accepted": 1, "duplicates": 0, "refused": 1}
    assert [each.event_id for each in log.recent("ann", None)] == ["e2"]
    assert replay(log, later) == {"judged": 1, "accepted": 0, "duplicates": 0, "refused": 1}


def test_what_was_sent_again_meanwhile_is_no_second_event(log: EventLog):
    receive(log, [EARLY], NOW)
    later = NOW + timedelta(hours=2)
    receive(log, [EARLY], later)
    assert replay(log, later) == {"judged": 1, "accepted": 0, "duplicates": 1, "refused": 0}
    assert len(log.recent("ann", None)) == 1


def test_more_than_one_batch_is_judged(log: EventLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quarantine, "BATCH", 3)
    receive(log, [EARLY | {"event_id": f"x{each}"} for each in range(10)] + [7], NOW)
    counts = replay(log, NOW + timedelta(hours=2))
    assert counts == {"judged": 11, "accepted": 10, "duplicates": 0, "refused": 1}


def test_the_oldest_go_when_there_are_too_many(log: EventLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quarantine, "TRIMMED_EVERY", 5)
    monkeypatch.setattr(quarantine, "KEPT", 10)
    receive(log, list(range(40)), NOW)
    assert [each.event for each in quarantined(log)] == list(range(30, 40))

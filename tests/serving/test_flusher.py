"""The background flush: events reach the lake without anybody asking, by one worker at a time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from patron.events.event import Event
from patron.events.log import EventLog
from patron.lake.tables import Lake
from patron.settings import Settings, load_settings
from serving.flusher import Flusher

PATIENCE = 60


def settings_of(home: Path, minutes: float) -> Settings:
    return load_settings(home=home, flush_minutes=minutes)


def test_events_reach_the_lake_by_themselves(tmp_path: Path):
    settings = settings_of(tmp_path, 0.001)
    log = EventLog(settings.events)
    log.append([Event("e1", datetime(2024, 1, 1, tzinfo=UTC), "view_item", "ann")])
    log.close()
    flusher = Flusher(settings)
    flusher.start()
    deadline = time.monotonic() + PATIENCE
    while not Lake(settings.lake).rows("events") and time.monotonic() < deadline:
        time.sleep(0.1)
    flusher.stop()
    assert Lake(settings.lake).rows("events") == 1
    assert not flusher.is_alive()


def test_one_of_several_flushes_and_another_takes_over(tmp_path: Path):
    settings = settings_of(tmp_path, 1)
    one, other = Flusher(settings), Flusher(settings)
    assert one.chosen()
    assert one.chosen()
    assert not other.chosen()
    one.stop()
    assert other.chosen()
    other.stop()


def test_never_is_never(tmp_path: Path):
    flusher = Flusher(settings_of(tmp_path, 0))
    flusher.start()
    assert not flusher.is_alive()
    flusher.stop()
    assert list(tmp_path.iterdir()) == []


def test_stopping_does_not_wait_for_the_next_round(tmp_path: Path):
    flusher = Flusher(settings_of(tmp_path, 1000))
    flusher.start()
    flusher.stop()
    assert not flusher.is_alive()

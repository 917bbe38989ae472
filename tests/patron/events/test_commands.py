"""`patron events`: what each command says, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from patron.events.commands import app
from patron.events.log import EventLog
from patron.events.quarantine import receive

NOW = datetime.now(UTC)
GOOD = {"event_id": "e1", "occurred_at": NOW.isoformat(), "name": "view_item", "customer_id": "ann"}
EARLY = GOOD | {"event_id": "e2", "occurred_at": (NOW + timedelta(hours=1)).isoformat()}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("PATRON_HOME", str(tmp_path))
    log = EventLog(tmp_path / "events")
    receive(log, [GOOD, EARLY, 3], NOW)
    log.update("products", "p", {"price": 1})
    log.close()

    def run(*words: str) -> Any:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout) if "--json" in words else done.stdout

    return run


def test_flush_counts_what_it_moved(run: Callable[..., Any]):
    assert run("flush", "--json") == {
        "events": {"read": 1, "accepted": 1, "duplicate": 0},
        "updates": {"products": {"read": 1, "changed": 0, "new": 1}},
        "pruned": 0,
        "decisions": {"read": 0, "written": 0, "settled": 0},
    }
    assert "0 events read" in run("flush")


def test_status_tells_what_waits(run: Callable[..., Any]):
    assert run("status", "--json")["unflushed_events"] == 1
    run("flush")
    assert run("status", "--json") == {
        "accepted": 1,
        "events": 1,
        "unflushed_events": 0,
        "unflushed_updates": 0,
        "quarantined": 2,
    }
    assert "quarantined" in run("status")


def test_quarantine_lists_reasons(run: Callable[..., Any]):
    found = run("quarantine", "--json")
    assert found["reasons"] == {"in_the_future": 1, "not_an_object": 1}
    assert [each["event"] for each in found["events"]] == [EARLY, 3]
    assert len(run("quarantine", "--limit", "1", "--json")["events"]) == 1
    assert [each["event"] for each in run("quarantine", "--after", "1", "--json")["events"]] == [3]
    assert "lies in the future" in run("quarantine")


def test_replay_judges_again(run: Callable[..., Any]):
    assert run("replay", "--json") == {"judged": 2, "accepted": 0, "duplicates": 0, "refused": 2}
    assert "2 events judged again" in run("replay")

"""The decision log: whole, in order, from many threads and processes at once."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest

from serving.decision_log import Decision, DecisionLog


def decision(name: str) -> Decision:
    moment = datetime(2024, 7, 1, tzinfo=UTC)
    offers = [{"offer_id": "none", "propensity": 0.25}]
    return Decision(name, moment, "ann", offers, "patron-offers", "3", moment, None)


def test_what_is_appended_is_on_disk_for_every_reader(tmp_path: Path) -> None:
    path = tmp_path / "events" / "decisions.db"
    log = DecisionLog(path)
    assert not path.exists()
    log.append(decision("d1"))
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("pragma journal_mode").fetchone() == ("wal",)
        row = reader.execute("select * from decisions").fetchone()
    assert row[0] == "d1" and json.loads(row[3]) == [{"offer_id": "none", "propensity": 0.25}]
    log.close()


def test_threads_and_logs_append_at_once(tmp_path: Path) -> None:
    logs = [DecisionLog(tmp_path / "decisions.db") for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda each: logs[each % 3].append(decision(f"d{each}")), range(120)))
    with closing(sqlite3.connect(tmp_path / "decisions.db")) as reader:
        assert reader.execute("select count(*) from decisions").fetchone() == (120,)
    for each in logs:
        each.close()


def test_a_decision_is_logged_once(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "decisions.db")
    log.append(decision("d1"))
    with pytest.raises(apsw.ConstraintError):
        log.append(decision("d1"))
    log.close()

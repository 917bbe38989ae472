"""Exposures are written once, the first one stays, and nobody waits for the disk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from patron.experiments.assignment import Assignment
from patron.experiments.exposures import ExposureLog

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPREAD = Assignment("spread", "more", {}, "d1")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ExposureLog]:
    opened = ExposureLog(tmp_path)
    yield opened
    opened.close()


def test_a_log_that_is_not_there_is_empty(log: ExposureLog, tmp_path: Path) -> None:
    assert (log.of("spread"), log.answers("spread"), log.counts()) == ([], [], {})
    assert list(tmp_path.iterdir()) == []


def test_the_first_exposure_stays_whoever_writes(log: ExposureLog, tmp_path: Path) -> None:
    log.exposed(SPREAD, "ann", "customer", NOON)
    log.exposed(SPREAD, "ann", "customer", NOON + timedelta(days=1))
    log.flush()
    other = ExposureLog(tmp_path)  # another worker, which does not know
    other.exposed(SPREAD, "ann", "customer", NOON + timedelta(days=2))
    other.exposed(SPREAD, "s1", "session", NOON + timedelta(days=2))
    other.close()
    assert [(each.unit, each.kind, each.arm, each.exposed_at[:10]) for each in log.of("spread")] == [
        ("ann", "customer", "more", "2026-03-01"),
        ("s1", "session", "more", "2026-03-03"),
    ]
    told = log.counts()["spread"]["more"]
    assert (told["units"], told["first"][:10], told["designs"]) == (2, "2026-03-01", 1)


def test_answers_are_kept_by_experiment(log: ExposureLog) -> None:
    log.answered(SPREAD, "ann", "r1", "personal", NOON)
    log.answered(SPREAD, "ann", "r1", "personal", NOON)  # its second page
    log.answered(Assignment("other", "a", {}), "ann", "r2", "popular", NOON)
    log.flush()
    assert [(each.recommendation_id, each.unit, each.rung) for each in log.answers("spread")] == [
        ("r1", "ann", "personal")
    ]


def test_a_disk_that_is_away_keeps_nobody_waiting_and_what_was_lost_is_noted_again(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("not a folder", encoding="utf-8")
    log = ExposureLog(tmp_path / "events")
    log.exposed(SPREAD, "ann", "customer", NOON)
    log.flush()
    (tmp_path / "events").unlink()  # the disk is back
    log.exposed(SPREAD, "ann", "customer", NOON + timedelta(days=1))
    log.flush()
    assert [(each.unit, each.exposed_at[:10]) for each in log.of("spread")] == [("ann", "2026-03-02")]
    log.close()

"""Who was treated, by which experiment, since when: one row a unit, written when its arm first came to bear.

Beside it stands which answer was given to whom under an experiment, so that what came of answers can be told
by arm for as long as the experiment lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from patron.events.behind import Behind
from patron.events.database import Database
from patron.events.event import written
from patron.experiments.assignment import Assignment

FILE = "experiments.db"
REMEMBERED = 200_000
"""Units that a process knows to be exposed already, at most."""
Kind = Literal["customer", "session"]

SCHEMA = """
create table meta (key text primary key, value text not null) strict, without rowid;
create table exposures (
    experiment text not null,
    unit text not null,
    kind text not null,
    arm text not null,
    design text not null,
    exposed_at text not null,
    primary key (experiment, unit)
) strict, without rowid;
create table answers (
    recommendation_id text primary key,
    experiment text not null,
    unit text not null,
    answered_at text not null,
    rung text not null
) strict, without rowid;
create index answers_by_experiment on answers (experiment);
"""
EXPOSE = "insert or ignore into exposures values (?, ?, ?, ?, ?, ?)"
ANSWER = "insert or ignore into answers values (?, ?, ?, ?, ?)"
COUNTS = """
select experiment, arm, count(*), min(exposed_at), max(exposed_at), count(distinct design)
from exposures group by experiment, arm
"""


class Exposure(NamedTuple):
    """A unit's first treatment."""

    unit: str
    kind: Kind
    arm: str
    design: str
    exposed_at: str


class Answer(NamedTuple):
    recommendation_id: str
    unit: str
    answered_at: str
    rung: str


class ExposureLog:
    """The exposures in `folder`. Threads and processes may write at once; a unit's first exposure stays."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / FILE, SCHEMA, "normal")
        self._behind = Behind("exposure-log", self._write)
        self._exposed: set[tuple[str, str]] = set()

    def exposed(self, assignment: Assignment, unit: str, kind: Kind, now: datetime) -> None:
        """The arm came to bear on a unit. Never waits, never raises."""
        known = (assignment.experiment, unit)
        if known in self._exposed:
            return
        if len(self._exposed) >= REMEMBERED:
            self._exposed.clear()
        self._exposed.add(known)
        row = (assignment.experiment, unit, kind, assignment.arm, assignment.design, written(now))
        self._behind.add((EXPOSE, row))

    def answered(
        self, assignment: Assignment, unit: str, recommendation_id: str, rung: str, now: datetime
    ) -> None:
        """A unit got an answer under its arm. Never waits, never raises."""
        row = (recommendation_id, assignment.experiment, unit, written(now), rung)
        self._behind.add((ANSWER, row))

    def flush(self) -> None:
        """Write what waits."""
        self._behind.flush()

    def close(self) -> None:
        self._behind.close()
        self.database.close()

    def counts(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Experiment -> arm -> {"units", "first", "last", "designs"}."""
        connection = self.database.reader()
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for name, arm, units, first, last, designs in connection.execute(COUNTS) if connection else ():
            told = {"units": units, "first": first, "last": last, "designs": designs}
            found.setdefault(name, {})[arm] = told
        return found

    def of(self, experiment: str) -> list[Exposure]:
        """Every exposure, the earliest first."""
        query = f"select {', '.join(Exposure._fields)} from exposures where experiment = ?"
        rows = self._rows(f"{query} order by exposed_at, unit", experiment)
        return [Exposure._make(row) for row in rows]

    def answers(self, experiment: str) -> list[Answer]:
        """Every answer that was given under it."""
        query = f"select {', '.join(Answer._fields)} from answers where experiment = ?"
        return [Answer._make(row) for row in self._rows(query, experiment)]

    def _rows(self, query: str, experiment: str) -> Sequence[Any]:
        connection = self.database.reader()
        return connection.execute(query, (experiment,)).fetchall() if connection else []

    def _write(self, rows: list[tuple[str, tuple[Any, ...]]]) -> None:
        def put(connection: Any) -> None:
            for query in (EXPOSE, ANSWER):
                connection.executemany(query, [row for of, row in rows if of == query])

        try:
            self.database.write(put)
        except BaseException:  # the next answer notes them again
            self._exposed.difference_update(row[:2] for of, row in rows if of == EXPOSE)
            raise

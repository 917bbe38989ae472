"""What was shown to whom: every answer of the storefront, so that clicks and purchases join to it.

Answers are written some milliseconds after they were given, many in one transaction. A process that is killed
loses those of its last moment; nothing that a caller was promised depends on them.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from patron.events.behind import FLUSH_SECONDS, Behind
from patron.events.database import Database
from patron.events.event import written

FILE = "answers.db"
KEEP_DAYS = 30
PRUNE_SECONDS = 3600.0
OTHER_WORKER_SECONDS = 0.15
"""How long to wait for a page that another worker answered a moment ago."""

SCHEMA = """
create table meta (key text primary key, value text not null) strict, without rowid;
create table answers (
    recommendation_id text not null,
    start integer not null,
    answered_at text not null,
    placement text not null,
    customer_id text,
    session_id text,
    product_ids text not null,
    propensities text,
    rung text not null,
    model_version text not null,
    arm text,
    relevance_cost real,
    primary key (recommendation_id, start)
) strict, without rowid;
create index answers_by_customer on answers (customer_id, placement, answered_at desc)
    where customer_id is not null;
create index answers_by_session on answers (session_id, placement, answered_at desc)
    where session_id is not null;
create index answers_by_time on answers (answered_at);
"""


class Shown(NamedTuple):
    """One answer. `start`: how many products of the same recommendation stood before its first one.

    `propensities`: how probably each product was shown, one each; None where nothing was drawn at random.
    `rung`: what answered. `relevance_cost`: share of the model's relevance that rules gave away.
    """

    recommendation_id: str
    start: int
    answered_at: datetime
    placement: str
    customer_id: str | None
    session_id: str | None
    product_ids: Sequence[str]
    rung: str
    model_version: str
    propensities: Sequence[float] | None = None
    arm: str | None = None
    relevance_cost: float | None = None


COLUMNS = ", ".join(Shown._fields)
INSERT = f"insert or replace into answers ({COLUMNS}) values ({', '.join('?' * len(Shown._fields))})"
LATELY = (
    "select product_ids from answers indexed by answers_by_{who} "
    "where {who}_id = ?1 and placement = ?2 and answered_at > ?3 order by answered_at desc limit ?4"
)
log = logging.getLogger(__name__)


class AnswerLog:
    """The answers in `folder`. Threads and processes may record and read at once."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / FILE, SCHEMA, "normal")
        self._behind = Behind("answer-log", self._write, self._prune)
        self._next_prune = 0.0

    def record(self, shown: Shown) -> None:
        """Have it written within moments; never waits, never raises."""
        self._behind.add(row_of(shown))

    def pages(self, recommendation_id: str, before: int) -> list[str]:
        """The products shown under this id at places below `before`; [] for an id that is not known."""
        deadline = time.monotonic() + OTHER_WORKER_SECONDS
        self.flush()
        while True:
            found = self._pages(recommendation_id, before)
            if len(found) >= before or time.monotonic() > deadline:
                return found
            time.sleep(FLUSH_SECONDS / 2)

    def _pages(self, recommendation_id: str, before: int) -> list[str]:
        connection = self.database.reader()
        if connection is None:
            return []
        query = "select product_ids from answers where recommendation_id = ? and start < ? order by start"
        rows = connection.execute(query, (recommendation_id, before)).fetchall()
        return [each for (products,) in rows for each in json.loads(products)]

    def lately(
        self, customer_id: str | None, session_id: str | None, placement: str, since: datetime, answers: int
    ) -> list[str]:
        """The products of the visitor's last answers at this placement, each as often as it was shown."""
        connection = self.database.reader()
        if connection is None or (customer_id is None and session_id is None):
            return []
        who, visitor = ("customer", customer_id) if customer_id is not None else ("session", session_id)
        given = (visitor, placement, written(since), answers)
        rows = connection.execute(LATELY.format(who=who), given).fetchall()
        return [each for (products,) in rows for each in json.loads(products)]

    def flush(self) -> None:
        """Write what waits."""
        self._behind.flush()

    def close(self) -> None:
        """Write what waits and let go of the file."""
        self._behind.close()
        self.database.close()

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        self.database.write(lambda connection: connection.executemany(INSERT, rows) and None)

    def _prune(self) -> None:
        if time.monotonic() < self._next_prune:
            return
        self._next_prune = time.monotonic() + PRUNE_SECONDS
        old = written(datetime.now(UTC) - timedelta(days=KEEP_DAYS))
        try:
            self.database.write(
                lambda connection: (
                    connection.execute("delete from answers where answered_at < ?", (old,)) and None
                )
            )
        except Exception:
            log.warning("Old answers could not be removed", exc_info=True)


def row_of(shown: Shown) -> tuple[Any, ...]:
    """The answer's values in the order of its fields, as the file keeps them."""
    told = shown._replace(
        answered_at=written(shown.answered_at),  # type: ignore[arg-type]
        product_ids=json.dumps(list(shown.product_ids)),
        propensities=None if shown.propensities is None else json.dumps(list(shown.propensities)),  # type: ignore[arg-type]
    )
    return tuple(told)

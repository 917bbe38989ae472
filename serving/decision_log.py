"""Every decision, on disk before it is answered: who was offered what, how probably, by which policy."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

SCHEMA = """
create table if not exists decisions (
    decision_id text primary key,
    occurred_at text not null,
    customer_id text not null,
    offers text not null,
    policy text not null,
    model_version text not null,
    features_as_of text,
    channel text
) strict
"""
BUSY_MILLISECONDS = 2000


@dataclass(frozen=True)
class Decision:
    decision_id: str
    occurred_at: datetime
    customer_id: str
    offers: Sequence[Mapping[str, Any]]
    """Each with its `offer_id` and `propensity`; `none` is an offer like another."""
    policy: str
    model_version: str
    features_as_of: datetime | None
    channel: str | None


class DecisionLog:
    """Append-only, in SQLite (WAL, synchronous FULL). Threads and processes may append at once.

    The file is made at the first append.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: Any = None

    def append(self, decision: Decision) -> None:
        """Return once the decision is on disk."""
        row = (
            decision.decision_id,
            decision.occurred_at.isoformat(),
            decision.customer_id,
            json.dumps([dict(each) for each in decision.offers]),
            decision.policy,
            decision.model_version,
            decision.features_as_of.isoformat() if decision.features_as_of else None,
            decision.channel,
        )
        with self._lock:
            self._open().execute("insert into decisions values (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _open(self) -> Any:
        if self._connection is None:
            import apsw

            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = apsw.Connection(str(self.path))
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full")
            connection.execute(SCHEMA)
            self._connection = connection
        return self._connection

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

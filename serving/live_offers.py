"""The offers as of now: `configs/offers.toml`, the lake's table, and what PUT /v1/offers changed since.

Every worker looks before it answers whether any of the three is newer than what it read, which costs
microseconds where none is. While one of them cannot be read, what was read last holds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from patron.errors import PatronError
from patron.events.flush import position
from patron.events.log import EventLog
from patron.lake.tables import MANIFEST, Lake
from patron.offers.catalogue import Catalogue
from patron.settings import Settings

Stamp = tuple[int, int] | None
Seen = tuple[Stamp, Stamp, int]
NO_GROUPS: Mapping[str, str] = {}
log = logging.getLogger(__name__)


class LiveOffers:
    """Threads may ask at once."""

    def __init__(self, settings: Settings, events: EventLog) -> None:
        self.path, self.lake, self.events = settings.configs / "offers.toml", settings.lake, events
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._groups = NO_GROUPS
        self._catalogue: Catalogue | None = None
        self._rows: list[dict[str, Any]] = []
        self._flushed = 0
        """Number of the last update that the lake's table holds."""

    def catalogue(self, groups: Mapping[str, str] | None = None) -> Catalogue:
        """All offers with the rules of contact.

        groups: offer -> the group that a model learned it under; None: those of the last who named any.

        Raises PatronError where nothing could ever be read.
        """
        with self._lock:
            try:
                self._look(self._groups if groups is None else groups)
            except Exception as error:
                if self._catalogue is None:
                    raise unreadable(error) from error
                log.warning("The offers could not be read again; those of before hold", exc_info=True)
            assert self._catalogue is not None
            return self._catalogue

    def _look(self, groups: Mapping[str, str]) -> None:
        """Read again what has changed."""
        seen = (stamp(self.path), stamp(self.lake / MANIFEST), self.events.last_update("offers"))
        if seen == self._seen and groups == self._groups:
            return
        if self._seen is None or seen[1] != self._seen[1]:
            self._read_lake()
        updates: dict[str, dict[str, Any]] = {}
        for _, offer_id, body in self.events.updates("offers", self._flushed):
            updates.setdefault(offer_id, {}).update(body)
        self._catalogue = Catalogue.load(self.path, self._rows, updates, groups)
        self._seen, self._groups = seen, groups

    def _read_lake(self) -> None:
        import pyarrow.parquet as pq

        lake, log_id = Lake(self.lake), self.events.log_id()
        self._flushed = position(lake, log_id).updates if log_id else 0
        self._rows = [row for path in lake.files("offers") for row in pq.read_table(path).to_pylist()]


def unreadable(error: Exception) -> PatronError:
    return error if isinstance(error, PatronError) else PatronError("The offers cannot be read; see the log.")


def stamp(path: Path) -> Stamp:
    """What tells whether a file has changed; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size

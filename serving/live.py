"""What the shop said since the models were trained: price, stock, visibility, effective on the next answer.

Every worker reads the updates that are new to it before it answers, which costs microseconds where there are
none. While they cannot be read, what was read last holds. A product that a model does not know cannot be
recommended before the next training.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from patron.events.log import EventLog

if TYPE_CHECKING:
    from serving.bootstrap import Served

Changes = dict[str, dict[str, Any]]
log = logging.getLogger(__name__)


class LiveProducts:
    """The shop's updates of products, laid over a model's catalogue. Threads may ask at once.

    Updates that were in the lake already when the model was fitted are part of its catalogue, or have been
    overtaken by a later import: they are not laid over it again.
    """

    def __init__(self, events: EventLog) -> None:
        self.events = events
        self.remembered: Changes = {}
        """Every product that was updated, as of the last look."""
        self._lock = threading.Lock()
        self._seq = 0
        self._model: Any = None
        self._blend: Any = None

    def blend(self, served: Served) -> tuple[Any, bool]:
        """The recommender with today's catalogue, and whether today's updates could be read."""
        with self._lock:
            fresh = self._look() if served.model is self._model else self._take(served)
            return self._blend, fresh

    def known(self) -> Changes:
        """Every product that was updated, with the fields that were; those of the last look if need be."""
        with self._lock:
            self._look()
            return self.remembered

    def part_of(self, served: Served) -> int:
        """The number of the last update that the model's catalogue holds."""
        position = served.event_log
        known = position is not None and position["log_id"] == self.events.log_id()
        return int(position["updates"]) if position is not None and known else 0

    def _take(self, served: Served) -> bool:
        """Go over to another model, with all updates that it does not hold."""
        self._model = self._blend = served.model
        try:
            self._seq, before = self.part_of(served), self.remembered
        except Exception:
            log.warning("Updates of products could not be read", exc_info=True)
            self._lay(self.remembered)
            return False
        self.remembered = {}
        if self._look():
            return True
        self.remembered = before
        self._lay(before)
        return False

    def _look(self) -> bool:
        """Read what is new and lay it over the catalogue; False where it cannot be read."""
        try:
            found = self.events.updates("products", self._seq)
        except Exception:
            log.warning("Updates of products could not be read", exc_info=True)
            return False
        new: Changes = {}
        for seq, product_id, body in found:
            self._seq = seq
            new[product_id] = {**new.get(product_id, {}), **body}
        if new:
            merged = {name: {**self.remembered.get(name, {}), **body} for name, body in new.items()}
            self.remembered = {**self.remembered, **merged}
            self._lay(new)
        return True

    def _lay(self, changes: Changes) -> None:
        if changes and self._blend is not None:
            self._blend = self._blend.with_catalogue(self._blend.catalogue.changed(changes))

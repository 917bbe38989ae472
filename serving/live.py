"""What the shop said since the models were trained: price, stock, visibility, effective on the next answer.

Every worker reads the updates that are new to it before it answers, which costs microseconds where there are
none. A product that a model does not know cannot be recommended before the next training.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from patron.events.log import EventLog

if TYPE_CHECKING:
    from serving.bootstrap import Served

Changes = dict[str, dict[str, Any]]


class LiveProducts:
    """The shop's updates of products, laid over a model's catalogue. Threads may ask at once.

    Updates that were in the lake already when the model was fitted are part of its catalogue, or have been
    overtaken by a later import: they are not laid over it again.
    """

    def __init__(self, events: EventLog) -> None:
        self.events = events
        self._lock = threading.Lock()
        self._seq = 0
        self._all: Changes = {}
        self._model: Any = None
        self._blend: Any = None

    def blend(self, served: Served) -> Any:
        """The recommender with today's catalogue. Raises EventLogError or apsw.Error if it cannot be read."""
        with self._lock:
            if served.model is not self._model:
                self._seq, self._all = self.part_of(served), {}
                self._model = self._blend = served.model
            if new := self._new():
                self._blend = self._blend.with_catalogue(self._blend.catalogue.changed(new))
            return self._blend

    def part_of(self, served: Served) -> int:
        """The number of the last update that the model's catalogue holds."""
        position = served.event_log
        known = position is not None and position["log_id"] == self.events.log_id()
        return int(position["updates"]) if position is not None and known else 0

    def known(self) -> Changes:
        """Every product that was updated since, with the fields that were."""
        with self._lock:
            self._new()
            return self._all

    def _new(self) -> Changes:
        """The updates since the last look."""
        new: Changes = {}
        for seq, product_id, body in self.events.updates("products", self._seq):
            self._seq = seq
            new[product_id] = {**new.get(product_id, {}), **body}
        if new:
            merged = {name: {**self._all.get(name, {}), **body} for name, body in new.items()}
            self._all = {**self._all, **merged}
        return new

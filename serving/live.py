"""What the shop said since the models were trained: price, stock, visibility, effective on the next answer.

Every worker reads the updates that are new to it before it answers, which costs microseconds where there are
none. A product that a model does not know cannot be recommended before the next training.
"""

from __future__ import annotations

import threading
from typing import Any

from patron.events.log import EventLog

Changes = dict[str, dict[str, Any]]


class LiveProducts:
    """The shop's updates of products, laid over a model's catalogue. Threads may ask at once."""

    def __init__(self, events: EventLog) -> None:
        self.events = events
        self._lock = threading.Lock()
        self._seq = 0
        self._all: Changes = {}
        self._given: Any = None
        self._current: Any = None

    def blend(self, model: Any) -> Any:
        """The recommender with today's catalogue. Raises EventLogError or apsw.Error if it cannot be read."""
        with self._lock:
            new = self._new()
            if model is not self._given:
                self._given, self._current, new = model, model, self._all
            if new:
                self._current = self._current.with_catalogue(self._current.catalogue.changed(new))
            return self._current

    def known(self) -> Changes:
        """Every product that was updated, with the fields that were."""
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

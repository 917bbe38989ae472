"""Rows that a thread writes some milliseconds after they were given, many in one transaction."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

FLUSH_SECONDS = 0.05
"""How long a row may wait to be written."""
MAX_WAITING = 100_000
"""Rows that may wait while nothing can be written; older ones are dropped."""
log = logging.getLogger(__name__)


class Behind:
    """A queue in front of `write`, which gets what waited, oldest first. `after` is called now and then.

    A process that is killed loses the rows of its last moment. Threads may add at once.
    """

    def __init__(
        self, name: str, write: Callable[[list[Any]], Any], after: Callable[[], None] = lambda: None
    ) -> None:
        self.name, self.write, self.after = name, write, after
        self._waiting: deque[Any] = deque(maxlen=MAX_WAITING)
        self._something = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._flushing = threading.Lock()

    def add(self, row: Any) -> None:
        """Have it written within moments; never waits, never raises."""
        self._waiting.append(row)
        if not self._something.is_set():
            self._something.set()
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Write what waits; what cannot be written is logged and lost."""
        with self._flushing:
            rows = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not rows:
                return
            try:
                self.write(rows)
            except Exception:
                log.warning("%s: %d rows could not be written", self.name, len(rows), exc_info=True)

    def close(self) -> None:
        """Write what waits and end the thread."""
        self._stopped = True
        self._something.set()
        if self._thread is not None:
            self._thread.join(5)
        self.flush()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stopped:
            self._something.wait()
            time.sleep(FLUSH_SECONDS)
            self._something.clear()
            self.flush()
            self.after()

"""Going down from the best answer to a simpler one, in time, whatever breaks on the way.

Each rung has a time budget and a circuit breaker. A rung that raises or takes too long gives way to the next;
after a few such failures in a row it is left out for some seconds, and then tried by one request before it
answers again.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from serving.problems import Problem

Q = TypeVar("Q")
A = TypeVar("A")

FAILURES = 5
"""So many in a row open a breaker."""
OPEN_SECONDS = 5.0
"""How long an open one lets nothing through."""
THREADS = 4
"""Threads a worker for the first attempt, and as many for those after a rung took too long."""
log = logging.getLogger(__name__)


class Breaker:
    """Closed while things go well. Threads may ask at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.failures = 0
        self.opened_at = 0.0
        self._lock = threading.Lock()

    @property
    def open(self) -> bool:
        return self.failures >= FAILURES

    def allows(self) -> bool:
        """Whether to try; of an open breaker's callers only one, each time the wait is over."""
        with self._lock:
            if not self.open:
                return True
            if self.clock() - self.opened_at < OPEN_SECONDS:
                return False
            self.opened_at = self.clock()
            return True

    def succeeded(self) -> None:
        with self._lock:
            self.failures = 0

    def failed(self) -> None:
        with self._lock:
            self.failures += 1
            self.opened_at = self.clock()


@dataclass(frozen=True)
class Rung(Generic[Q, A]):
    """One way to answer. `answer` gives None where it has nothing to say, which is no failure."""

    name: str
    seconds: float
    answer: Callable[[Q], A | None]
    breaker: Breaker = field(default_factory=Breaker)


@dataclass(frozen=True)
class Climbed(Generic[A]):
    """An answer and the rung that gave it. degraded: a rung above it failed or was left out."""

    answer: A | None
    rung: str
    degraded: bool


class Descent(Generic[Q, A]):
    """One request on its way down, in a thread of its own until it takes too long.

    The breaker of the first rung has let it through already.
    """

    def __init__(self, rungs: Sequence[Rung[Q, A]], question: Q, first: int) -> None:
        self.rungs, self.question = rungs, question
        self.first = self.at = first
        self.began = time.monotonic()
        self.degraded = False
        self.abandoned = False

    def run(self) -> tuple[A, str] | None:
        """The first answer of a rung; None when all have given way, or nobody waits any more."""
        for index in range(self.first, len(self.rungs)):
            rung = self.rungs[index]
            if self.abandoned:
                return None
            if index > self.first and not rung.breaker.allows():
                self.degraded = True
                continue
            self.at, self.began = index, time.monotonic()
            found = self.tried(rung)
            if found is not None:
                return found, rung.name
        return None

    def tried(self, rung: Rung[Q, A]) -> A | None:
        try:
            found = rung.answer(self.question)
        except Problem:
            raise
        except Exception:
            log.warning("The rung '%s' failed", rung.name, exc_info=True)
            rung.breaker.failed()
            self.degraded = True
            return None
        if time.monotonic() - self.began <= rung.seconds:
            rung.breaker.succeeded()
        return found

    def left(self) -> float:
        """Seconds that the rung of the moment may still take."""
        return self.began + self.rungs[self.at].seconds - time.monotonic()


class Ladder(Generic[Q, A]):
    """The rungs in their order, best first. `climb` is called on the event loop."""

    def __init__(self, rungs: Sequence[Rung[Q, A]]) -> None:
        self.rungs = rungs
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="first-rung")
        self.spare = ThreadPoolExecutor(THREADS, thread_name_prefix="next-rung")
        self.trial = ThreadPoolExecutor(1, thread_name_prefix="trial")

    async def climb(self, question: Q) -> Climbed[A]:
        """The best answer that comes in time; with answer None where no rung had one."""
        first, degraded = 0, False
        while first < len(self.rungs):
            if not self.rungs[first].breaker.allows():
                first, degraded = first + 1, True
                continue
            descent = Descent(self.rungs, question, first)
            task = self.started(descent)
            if await in_time(descent, task):
                found = task.result()
                degraded = degraded or descent.degraded
                return Climbed(found[0], found[1], degraded) if found else Climbed(None, "none", degraded)
            descent.abandoned = degraded = True
            task.add_done_callback(forget)
            task.cancel()  # what has not begun never will
            slow = self.rungs[descent.at]
            log.warning("The rung '%s' took more than %.3f s", slow.name, slow.seconds)
            slow.breaker.failed()
            first = descent.at + 1
        return Climbed(None, "none", True)

    def started(self, descent: Descent[Q, A]) -> asyncio.Future[Any]:
        context = contextvars.copy_context()  # for the request id of what is logged
        pool = self.threads if descent.first == 0 else self.spare
        if self.rungs[descent.first].breaker.open:
            pool = self.trial
        return asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(descent.run))


async def in_time(descent: Descent[Any, Any], task: asyncio.Future[Any]) -> bool:
    """Wait as long as the rung of the moment may take; whether the task is done."""
    while (left := descent.left()) > 0:
        await asyncio.wait({task}, timeout=left)
        if task.done():
            return True
    return task.done()


def forget(task: asyncio.Future[Any]) -> None:
    """What comes too late is not missed, and neither is its error."""
    if not task.cancelled():
        task.exception()

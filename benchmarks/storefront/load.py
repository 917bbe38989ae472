"""A load generator that takes little CPU: HTTP/1.1 over kept connections, requests encoded beforehand.

closed loop  each connection asks again as soon as it is answered: how many requests a second there can be
open loop    requests are due at a fixed rate, whatever the server does, and a latency counts from when its
             request was due: a server that stalls is charged for all who would have come meanwhile
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from storefront.processes import Server, cpu_seconds
from storefront.statistics import LOST, UNANSWERED, Phase

Plan = Iterator[tuple[str, bytes]]
"""Requests without end: (kind, the bytes to send)."""
DRAIN_SECONDS = 5.0
KEPT_BODIES = 200
KEEP_EVERY = 7
END = b"\r\n\r\n"
CHUNKS_END = b"0\r\n\r\n"


def request(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """The bytes of a request. A header's name is given with underscores: x_api_key."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + END + (body or b"")


def parsed(data: bytes) -> tuple[int, bytes] | None:
    """(status, body) of a whole answer, None while some of it is missing."""
    end = data.find(END)
    if end < 0:
        return None
    head = data[:end].lower()
    place = head.find(b"\r\ncontent-length:")
    if place < 0:
        return (int(data[9:12]), data[end + 4 :]) if data.endswith(CHUNKS_END) else None
    stop = head.find(b"\r\n", place + 2)
    length = int(head[place + 17 : stop if stop > 0 else end])
    if len(data) - end - 4 < length:
        return None
    return int(data[9:12]), data[end + 4 :]


class Connection(asyncio.Protocol):
    """One kept connection, with at most one request on its way."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.transport: Any = None
        self.kind = ""
        self.since = 0.0
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, kind: str, data: bytes, since: float) -> None:
        self.kind, self.since = kind, since
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        found = parsed(data)
        if found is None:
            self.buffer = data
            return
        self.buffer = b""
        self.driver.answered(self, *found)

    def connection_lost(self, error: Exception | None) -> None:
        self.driver.lost(self)


class Driver:
    """Sends a plan over connections and writes down what comes back."""

    def __init__(self, port: int, plan: Plan) -> None:
        self.port, self.plan = port, plan
        self.phase = Phase()
        self.connections: set[Connection] = set()
        self.free: deque[Connection] = deque()
        self.due: deque[float] = deque()
        """Open loop: when the requests that wait for a connection were due."""
        self.asked = self.ended = 0
        self.over = False
        self.closing = False
        self.on_free: Callable[[Connection], None] = self.free.append
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tasks: set[asyncio.Task[None]] = set()

    async def connect(self, count: int) -> None:
        for _ in range(count):
            await self._connect()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port)
        self.connections.add(connection)
        self.on_free(connection)

    def ask(self, connection: Connection, since: float) -> None:
        kind, data = next(self.plan)
        self.asked += 1
        connection.ask(kind, data, since)

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        self._count(connection, status)
        if self.ended % KEEP_EVERY == 1:
            kept = self.phase.bodies.setdefault(connection.kind, [])
            if len(kept) < KEPT_BODIES:
                kept.append(body)
        connection.kind = ""
        self.on_free(connection)

    def _count(self, connection: Connection, status: int) -> None:
        self.phase.count(connection.kind, status, time.perf_counter() - connection.since)
        self.ended += 1
        if self.over and self.ended == self.asked and not self.done.done():
            self.done.set_result(None)

    def lost(self, connection: Connection) -> None:
        """A broken connection is replaced; what was on its way is an error."""
        self.connections.discard(connection)
        if self.closing:
            return
        if connection.kind:
            self._count(connection, LOST)
        with contextlib.suppress(ValueError):
            self.free.remove(connection)
        task = asyncio.get_running_loop().create_task(self._reconnect())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _reconnect(self) -> None:
        with contextlib.suppress(OSError):
            await self._connect()

    async def finish(self) -> None:
        """Wait, not for ever, for what is on its way."""
        self.over = True
        if self.ended < self.asked:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.done, DRAIN_SECONDS)
        missing = self.asked - self.ended + len(self.due)
        for _ in range(missing):
            self.phase.count("", UNANSWERED, 0.0)
        self.closing = True
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for each in self.connections:
            each.transport.close()
        patience = time.perf_counter() + 1  # a loop that is closed before them may never end
        while self.connections and time.perf_counter() < patience:
            await asyncio.sleep(0.001)


async def closed(port: int, plan: Plan, connections: int, seconds: float) -> Phase:
    """Each connection asks for `seconds`, again as soon as it is answered."""
    driver = Driver(port, plan)
    await driver.connect(connections)
    started = time.perf_counter()
    deadline = started + seconds

    def again(connection: Connection) -> None:
        now = time.perf_counter()
        if now < deadline:
            driver.ask(connection, now)

    driver.on_free = again
    for each in tuple(driver.free):
        again(each)
    await asyncio.sleep(seconds)
    await driver.finish()
    driver.phase.seconds = time.perf_counter() - started
    return driver.phase


async def opened(port: int, plan: Plan, connections: int, seconds: float, rate: float) -> Phase:
    """`rate` requests a second are due for `seconds`; they wait for a connection where all are busy."""
    driver = Driver(port, plan)
    await driver.connect(connections)
    total = max(int(rate * seconds), 1)
    started = time.perf_counter()
    sent = 0

    def start() -> None:
        while driver.due and driver.free:
            driver.ask(driver.free.pop(), driver.due.popleft())

    def freed(connection: Connection) -> None:
        driver.free.append(connection)
        start()

    def tick() -> None:
        nonlocal sent
        now = time.perf_counter()
        while sent < total and started + sent / rate <= now:
            driver.due.append(started + sent / rate)
            sent += 1
        start()

    driver.on_free = freed
    with ticking(1 / rate, tick):
        while sent < total:
            await asyncio.sleep(min(0.05, seconds))
    patience = time.perf_counter() + DRAIN_SECONDS
    while driver.due and time.perf_counter() < patience:
        await asyncio.sleep(0.01)
    await driver.finish()
    driver.phase.seconds = time.perf_counter() - started
    return driver.phase


@contextlib.contextmanager
def ticking(interval: float, tick: Callable[[], None]) -> Iterator[None]:
    """Call `tick` about every `interval` seconds, by a timer of the kernel: the loop's own wake up on whole
    milliseconds, which is as long as many an answer takes."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    seconds, nanos = divmod(int(max(interval, 20e-6) * 1e9), 1_000_000_000)
    libc.timerfd_settime(timer, 0, struct.pack("4q", seconds, nanos, seconds, nanos), None)
    loop = asyncio.get_running_loop()

    def fired() -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(timer, 8)
        tick()

    loop.add_reader(timer, fired)
    try:
        yield
    finally:
        loop.remove_reader(timer)
        os.close(timer)


def run(work: Coroutine[Any, Any, Phase], server: Server, beside: Server | None = None) -> Phase:
    """A phase with the CPU time that the server, and a store beside it, took meanwhile."""
    import uvloop

    gc.collect()
    gc.disable()
    theirs, others = server.pids, beside.pids if beside else []
    try:
        before = cpu_seconds(theirs), cpu_seconds(others), time.process_time()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            phase = runner.run(work)
        phase.cpu_seconds = cpu_seconds(theirs) - before[0]
        phase.beside_seconds = cpu_seconds(others) - before[1]
        phase.own_seconds = time.process_time() - before[2]
    finally:
        gc.enable()
    return phase

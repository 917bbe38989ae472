"""`patron serve`: one listening socket and the workers that share it; a worker that dies is replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from patron.errors import PatronError
from patron.settings import Settings
from serving.worker import SHUTDOWN_SECONDS, environment

BACKLOG = 2048
QUICK_SECONDS = 5.0
MAX_QUICK_DEATHS = 3
LOOK_SECONDS = 0.2


class ServerError(PatronError):
    code = "server"


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening socket. Raises ServerError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ServerError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. "
            "Stop what uses it, or choose another: patron serve --port PORT"
        ) from None
    listening.set_inheritable(True)
    return listening


def serve(settings: Settings, listening: socket.socket) -> int:
    """Answer until SIGINT or SIGTERM; returns the exit code. One worker runs in this process."""
    os.environ.update(environment())
    os.environ.update(handed_down(settings))
    if settings.workers == 1:
        from serving.worker import answer

        answer(listening)
        return 0
    with tempfile.TemporaryDirectory(prefix="patron-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        return Supervisor(listening, settings.workers).run()


def handed_down(settings: Settings) -> dict[str, str]:
    """The settings that options may have changed, as variables that workers read."""
    return {
        "PATRON_WORKERS": str(settings.workers),
        "PATRON_PORT": str(settings.port),
        "PATRON_HOST": settings.host,
    }


class Supervisor:
    """Keeps `count` workers running."""

    def __init__(self, listening: socket.socket, count: int) -> None:
        self.listening = listening
        self.count = count
        self.workers: dict[subprocess.Popen[bytes], float] = {}
        self.stopping = False
        self.quick_deaths = 0

    def run(self) -> int:
        """Returns 0 after a signal, 1 when workers die as fast as they are started."""
        with self.signals():
            for _ in range(self.count):
                self.start()
            while not self.stopping and self.quick_deaths < MAX_QUICK_DEATHS:
                time.sleep(LOOK_SECONDS)
                self.replace_dead()
            self.stop()
        return 0 if self.stopping else 1

    def start(self) -> None:
        command = [sys.executable, "-m", "serving.worker", str(self.listening.fileno())]
        worker = subprocess.Popen(command, pass_fds=[self.listening.fileno()], stdin=subprocess.DEVNULL)
        self.workers[worker] = time.monotonic()

    def replace_dead(self) -> None:
        for worker, started in list(self.workers.items()):
            if worker.poll() is not None and not self.stopping:
                del self.workers[worker]
                self.quick_deaths += time.monotonic() - started < QUICK_SECONDS
                self.start()

    def stop(self) -> None:
        """Ask every worker to finish, and end those that do not."""
        for worker in self.workers:
            worker.terminate()
        deadline = time.monotonic() + SHUTDOWN_SECONDS + 2
        for worker in self.workers:
            try:
                worker.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> Any:
            self.stopping = True

        old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

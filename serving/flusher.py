"""The background task that moves events into the lake: a process of low priority, started by one worker."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
import threading

from patron.settings import PROJECT, Settings

NICENESS = 15
STOP_SECONDS = 5.0
COMMAND = (sys.executable, "-m", "patron", "events", "flush", "--json")
log = logging.getLogger(__name__)


class Flusher(threading.Thread):
    """Runs `patron events flush` every `flush_minutes`; of all workers only the one that holds the lock."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="flusher", daemon=True)
        self.settings = settings
        self._stopped = threading.Event()
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin, unless the settings say never."""
        if self.settings.flush_minutes > 0:
            super().start()

    def run(self) -> None:
        while not self._stopped.wait(self.settings.flush_minutes * 60):
            try:
                if self.chosen():
                    self.flush()
            except Exception:
                log.exception("Moving events into the lake failed; the next round tries again")

    def chosen(self) -> bool:
        """Whether this process is the one that flushes: the first to ask, until it ends."""
        if self._lock is None:
            self.settings.events.mkdir(parents=True, exist_ok=True)
            path = self.settings.events / "flush.lock"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._lock = descriptor
        return True

    def flush(self) -> None:
        """Run the command to its end. It may be ended at any point: what it began is begun anew."""
        self._process = subprocess.Popen(
            COMMAND,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
        if self._stopped.is_set():
            self._process.terminate()
        _, said = self._process.communicate()
        if self._process.returncode and not self._stopped.is_set():
            log.warning("patron events flush ended with %s: %s", self._process.returncode, last_line(said))

    def environment(self) -> dict[str, str]:
        """This process' own, with what its settings may have from elsewhere."""
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        return {
            **os.environ,
            "PATRON_HOME": str(self.settings.home),
            "PATRON_THREADS": "1",
            "PYTHONPATH": path,
        }

    def stop(self) -> None:
        """End the command that runs, if any, and give the task to another worker."""
        self._stopped.set()
        if self._process and self._process.poll() is None:
            self._process.terminate()
        if self.is_alive():
            self.join(STOP_SECONDS)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing said"

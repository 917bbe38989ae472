"""Processes of a server: started, waited for, measured by /proc, ended by their ids."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
END_SECONDS = 10.0
LOOK_SECONDS = 0.02
REST_SECONDS = 15.0
REST_LOOK_SECONDS = 0.1
DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""
TOLD_LINES = 4


class NotStarted(Exception):
    """A server did not come up; says why."""


def cores() -> tuple[set[int], set[int]]:
    """(of the load generator, of the servers): one each, or all for both where there is one."""
    have = sorted(os.sched_getaffinity(0))
    return ({have[0]}, {have[1]}) if len(have) > 1 else (set(have), set(have))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def tree(pid: int) -> list[int]:
    """The process and all that came of it, as far as they live."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        found = fields(path)
        if found:
            children.setdefault(int(found[1]), []).append(int(path.parent.name))
    known = [pid]
    for each in known:
        known += children.get(each, [])
    return known


def fields(path: Path) -> list[str]:
    """What /proc/PID/stat says after the command's name: state, parent, ...; [] where it has ended."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of the processes so far."""
    every = (fields(Path(f"/proc/{pid}/stat")) for pid in pids)
    return sum(int(each[11]) + int(each[12]) for each in every if each) / TICKS


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def programs() -> str:
    """Where programs are looked for: beside this Python first, which may not be on the path."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


class Server:
    """A process that listens on 127.0.0.1. As a context it is started, and ended with all it started.

    ready: a path that answers 200 once it serves; empty where it speaks no HTTP. cores: where it may run.
    Entering raises NotStarted.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        folder: Path,
        *,
        ready: str = "",
        cores: set[int] | None = None,
        environment: Mapping[str, str] | None = None,
        wait_seconds: float = 90.0,
    ) -> None:
        self.name, self.command, self.port, self.folder = name, list(command), port, folder
        self.ready, self.cores = ready, cores or set()
        self.environment = dict(environment or {})
        self.wait_seconds = wait_seconds
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_seconds = 0.0
        """From the start to the first good answer."""

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name.replace(' ', '-')}.log"

    @property
    def pids(self) -> list[int]:
        return tree(self.process.pid) if self.process else []

    def __enter__(self) -> Server:
        self.folder.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, **QUIET, "PATH": programs(), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=self._prepare,
            )
        try:
            self._wait(started + self.wait_seconds)
        except BaseException:
            self.end()
            raise
        self.ready_seconds = time.perf_counter() - started
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _prepare(self) -> None:
        """In the child: its cores, and its end with this process, should that be killed."""
        if self.cores:
            os.sched_setaffinity(0, self.cores)
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGTERM)

    def _wait(self, deadline: float) -> None:
        while not self._answers():
            if self.process and self.process.poll() is not None:
                raise NotStarted(f"{self.name} ended with {self.process.returncode}: {self.said()}")
            if time.perf_counter() > deadline:
                late = f"did not answer within {self.wait_seconds:.0f} s"
                raise NotStarted(f"{self.name} {late}: {self.said()}")
            time.sleep(LOOK_SECONDS)

    def _answers(self) -> bool:
        try:
            if not self.ready:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return True
            asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            asking.request("GET", self.ready)
            answer = asking.getresponse()
            answer.read()
            asking.close()
        except (OSError, http.client.HTTPException):
            return False
        return answer.status == 200

    def said(self) -> str:
        """The end of its log."""
        lines = [each for each in self.log.read_text(errors="replace").splitlines() if each.strip()]
        return " | ".join(lines[-TOLD_LINES:]) or "it said nothing"

    def memory(self) -> tuple[int, int]:
        """(bytes of the largest process, which is the worker, bytes of all)."""
        held = [resident(pid) for pid in self.pids]
        return max(held, default=0), sum(held)

    def rest(self) -> None:
        """Wait, not for ever, until it has done what nobody waits for any more."""
        for _ in range(int(REST_SECONDS / REST_LOOK_SECONDS)):
            before = cpu_seconds(self.pids)
            time.sleep(REST_LOOK_SECONDS)
            if cpu_seconds(self.pids) - before < REST_LOOK_SECONDS / 4:
                return

    def end(self) -> None:
        """Ask it to end, and end what is left of what it started."""
        if self.process is None:
            return
        pids = self.pids
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        for pid in pids:
            if resident(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        patience = time.perf_counter() + END_SECONDS
        while any(map(resident, pids)) and time.perf_counter() < patience:
            time.sleep(LOOK_SECONDS)


QUIET = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONWARNINGS": "ignore",
    "FEAST_USAGE": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
"""One thread a library for every server alike, and nobody is told."""

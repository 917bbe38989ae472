"""The real service in a process of its own, as `patron serve` runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from patron.settings import Settings

ROOT = Path(__file__).parents[2]
START_SECONDS = 120
COMMAND = "from patron import cli; from serving import commands; cli.build = lambda: commands.app; cli.main()"
"""`patron`, with this room's commands, whether or not the project is installed."""


@dataclass(frozen=True)
class Running:
    url: str
    pid: int
    audit: Path
    """Every class that was unpickled by name, in any process of the service."""
    log: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "child"), str(ROOT)]),
        "PATRON_TEST_AUDIT": str(folder / "audit.txt"),
        "PATRON_HOME": str(settings.home),
        "PATRON_CLOCK": "data",
        "PATRON_REQUEST_TIMEOUT_SECONDS": "20",
        "PATRON_CORS_ORIGINS": '["https://shop.example"]',
    }


@contextmanager
def running(settings: Settings, folder: Path, *options: str) -> Iterator[Running]:
    """The service on a free port, ready to answer; ended by SIGTERM, which it must follow."""
    port = free_port()
    log = folder / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", "--port", str(port), *options],
            cwd=folder,
            env=environment(settings, folder),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        wait_until_alive(f"http://127.0.0.1:{port}", process, log)
        yield Running(f"http://127.0.0.1:{port}", process.pid, folder / "audit.txt", log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert process.returncode == 0, log.read_text()


def wait_until_alive(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"The service ended with {process.returncode}:\n{log.read_text()}")
        try:
            if httpx.get(f"{url}/livez", timeout=START_SECONDS).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"The service did not start:\n{log.read_text()}")

"""One process that answers: `python -m serving.worker FD`, on a socket that `serving.server` shares out."""

from __future__ import annotations

import os
import signal
import socket
import sys
from types import FrameType
from typing import NoReturn

KEEP_ALIVE_SECONDS = 15
SHUTDOWN_SECONDS = 5


def environment() -> dict[str, str]:
    """What a worker's environment holds beside what it inherits: no telemetry, and one thread a library."""
    return {"BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def answer(listening: socket.socket) -> None:
    """Serve on the socket until SIGINT or SIGTERM; requests in flight are answered first."""
    import uvicorn

    from patron.settings import load_settings
    from serving import logs

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    logs.configure(load_settings().log_level)
    from serving.service import service

    server = uvicorn.Server(
        uvicorn.Config(
            app=service.to_asgi(),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
    server.run(sockets=[listening])
    if not server.started:
        sys.exit(1)


def end(number: int, frame: FrameType | None) -> NoReturn:
    """A signal is the ordinary end, before the server handles signals itself and after it is done."""
    sys.exit(0)


def main() -> None:
    os.environ.update(environment())
    answer(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()

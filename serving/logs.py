"""What the service writes on stderr: one line a message; of an exception only its type and where it arose.

Messages of exceptions may hold what a caller sent, so they are left out.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

from serving.problems import request_id

FORMAT = "%(asctime)s %(levelname)s %(name)s %(request_id)s %(message)s"


class Frames(logging.Formatter):
    """Formats exceptions without their messages."""

    def formatException(self, info: Any) -> str:
        frames = "".join(traceback.format_tb(info[2]))
        return f"{frames}{info[0].__module__}.{info[0].__qualname__}"

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id.get() or "-"
        record.exc_text = None
        return super().format(record)


def configure(level: str) -> None:
    """Send every logger to stderr in this form."""
    handler = logging.StreamHandler()
    handler.setFormatter(Frames(FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "bentoml"):
        found = logging.getLogger(name)
        found.handlers[:] = []
        found.propagate = True
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

"""The open pages: is it alive, is it ready, what does it count, what can be called. None needs a key."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence

from serving.bootstrap import Parts
from serving.metrics import Metrics
from serving.openapi import document
from serving.operations import Operation
from serving.problems import Problem, Reply

JSON = {"content-type": "application/json"}


def pages(
    parts: Callable[[], Parts], operations: Sequence[Operation], metrics: Metrics
) -> dict[str, Callable[[], Reply]]:
    """Path -> what answers it."""
    described = functools.cache(lambda: json.dumps(document(operations)).encode())
    return {
        "/livez": lambda: Reply(200, b'{"status": "alive"}', JSON),
        "/readyz": lambda: ready(parts()),
        "/metrics": lambda: metrics.page(parts().settings.workers),
        "/docs.json": lambda: Reply(200, described(), JSON),
    }


def ready(parts: Parts) -> Reply:
    """200 once something can be answered, with what is missing; 503 before."""
    state = parts.state()
    if parts.ready:
        return Reply(200, json.dumps({"status": "ready", **state}).encode(), JSON)
    detail = "Nothing can be answered yet. Missing: " + ", ".join(sorted(parts.missing))
    raise Problem(503, "not_ready", detail, headers={"retry-after": "30"}, **state)

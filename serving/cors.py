"""Cross-origin requests: pages of the named origins may call the service from a browser. None by default."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from serving.problems import Problem, Reply

METHODS = "GET, POST, PUT"
HEADERS = "Content-Type, X-API-Key, X-Request-Id"
SECONDS = "600"


def headers(origin: str, origins: Collection[str]) -> dict[str, str]:
    """What any answer to a page of `origin` carries; nothing where no origin was configured."""
    if not origins:
        return {}
    if origin not in origins:
        return {"vary": "Origin"}
    return {
        "vary": "Origin",
        "access-control-allow-origin": origin,
        "access-control-expose-headers": "X-Request-Id, Retry-After",
    }


def preflight(request: Any, origins: Collection[str]) -> Reply | None:
    """The answer to a browser's question before a request; None where it is an ordinary OPTIONS."""
    if not origins or not request.get(b"access-control-request-method"):
        return None
    if request.text(b"origin") not in origins:
        raise Problem(403, "origin", "Pages of this origin may not call the service. Setting: cors_origins.")
    return Reply(
        204,
        b"",
        {
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": HEADERS,
            "access-control-max-age": SECONDS,
        },
    )

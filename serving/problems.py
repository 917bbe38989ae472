"""Problem documents (RFC 9457): every error that a caller can see, and what raises it.

A document holds `type`, `title`, `status`, `detail`, `code`, `request_id` and `instance`; 422 adds `errors`,
one `{pointer, detail}` a mistake. None of them repeats a value from the request: no id, no key, no input.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError

from patron.errors import FeatureError, NoChampion, NoScores, PatronError

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
MAX_POINTER = 200

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request that this task or thread answers; set by the gateway."""


@dataclass(frozen=True)
class Reply:
    """A whole HTTP answer, before it is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Problem(Exception):
    """An error with its HTTP status, a code for machines and a detail for people."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def reply(self) -> Reply:
        document = {
            "type": f"urn:patron:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id.get(),
            "instance": f"urn:patron:request:{request_id.get()}",
            **self.members,
        }
        headers = {"content-type": MEDIA_TYPE, **self.headers}
        return Reply(self.status, json.dumps(document).encode(), headers)


def unavailable(code: str, detail: str, retry_after: int = 30) -> Problem:
    return Problem(503, code, detail, headers={"retry-after": str(retry_after)})


def of_error(error: BaseException) -> Problem:
    """What callers are told about an exception. Messages that may hold paths or values are not repeated."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, (NoChampion, NoScores)):
        return unavailable(error.code, str(error))
    if isinstance(error, FeatureError):
        return unavailable("features", "The feature store cannot be read. GET /readyz says what is missing.")
    if isinstance(error, PatronError):
        return unavailable(error.code, "A model cannot be used. GET /readyz says which, the log says why.")
    return Problem(500, "internal", "The service failed. Its log holds the request_id.")


def invalid(error: ValidationError) -> Problem:
    """400 or 422 from what pydantic found, without the inputs."""
    errors = error.errors(include_input=False, include_context=False, include_url=False)
    if any(each["type"] == "json_invalid" for each in errors):
        return Problem(400, "not_json", "The body is not JSON. Send one JSON object in UTF-8.")
    found = [{"pointer": pointer(each["loc"]), "detail": each["msg"]} for each in errors[:MAX_ERRORS]]
    return Problem(422, "invalid", "The body does not fit the endpoint; `errors` says where.", errors=found)


def pointer(location: Sequence[Any]) -> str:
    """JSON pointer (RFC 6901) of a pydantic location, as plain characters and of bounded length."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "".join(f"/{part}" for part in parts)[:MAX_POINTER]

"""What an endpoint is: a route, the scopes that may call it, what it reads and what it answers.

An endpoint file declares a pydantic request and answer, and one `@bentoml.api` on a class; `@allowed` names
the scopes. The service, the gateway, the OpenAPI document and the metrics read the same list of operations.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_type_hints

import bentoml
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from serving.keys import Scope
from serving.problems import Reply, of_error

if TYPE_CHECKING:
    from serving.bootstrap import Parts

BODY = "patron.body"
"""Key of the ASGI scope under which the gateway leaves the validated request."""
log = logging.getLogger(__name__)


class Body(bentoml.IODescriptor):
    """Base of requests. Unknown fields are refused and types are not guessed: a typo must not go unseen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Any:
        """The gateway has validated it; it is not parsed again."""
        return request.scope[BODY]


class Answer(BaseModel):
    """Base of answers. Fields are given by name, and a number that is none becomes null."""

    model_config = ConfigDict(frozen=True)


class Endpoint:
    """Base of endpoint classes: what they answer from."""

    parts: Parts


@dataclass(frozen=True)
class Operation:
    """One route, as the gateway and the OpenAPI document see it."""

    name: str
    method: str
    path: str
    scopes: frozenset[Scope]
    answer: type[BaseModel]
    request: type[Body] | None = None
    summary: str = ""
    problems: tuple[int, ...] = ()
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        expression = re.sub(r"\{\w+\}", "[^/]+", self.path)
        object.__setattr__(self, "pattern", re.compile(expression))


def allowed(*scopes: Scope) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let keys with any of `scopes` call this handler, and turn what it returns or raises into a response."""

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        def respond(self: Any, body: Any, /) -> Response:
            return answered(lambda: handler(self, body))

        respond.scopes = frozenset(scopes)  # type: ignore[attr-defined]
        return respond

    return decorate


def answered(handler: Callable[[], BaseModel]) -> Response:
    """The handler's answer, encoded, or its error as a problem document."""
    try:
        return Response(handler().model_dump_json(), media_type="application/json")
    except Exception as error:
        problem = of_error(error)
        if problem.status == 500:
            log.exception("An endpoint failed")
        return response(problem.reply())


def response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, dict(reply.headers))


def operations(service: bentoml.Service[Any]) -> list[Operation]:
    """The operations of a service's APIs. An API without `@allowed` has no scopes: nobody may call it."""
    return [
        Operation(
            name=method.name,
            method="POST",
            path=method.route,
            scopes=getattr(method.func, "scopes", frozenset()),
            answer=get_type_hints(method.func)["return"],
            request=method.input_spec,
            summary=(method.func.__doc__ or "").strip(),
            problems=(400, 413, 415, 422),
        )
        for method in service.apis.values()
    ]

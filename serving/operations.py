"""What an endpoint is: a route, the scopes that may call it, what it reads and what it answers.

An endpoint file declares a pydantic request and answer, and one `@bentoml.api` on a class (POST), whose
scopes `@allowed` names, or else a plain function with an `Operation` beside it (GET, PUT). The service, the
gateway, the OpenAPI document and the metrics read the same list of operations.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_type_hints

import bentoml
from pydantic import BaseModel, ConfigDict

from serving.keys import Scope

if TYPE_CHECKING:
    from serving.bootstrap import Parts

Handler = Callable[["Parts", Mapping[str, str], Any], "BaseModel | Awaitable[BaseModel]"]
"""Called with the parts, the values of the path's names, and the validated body (None where none is read)."""


class Body(bentoml.IODescriptor):
    """Base of requests. Unknown fields are refused and types are not guessed: a typo must not go unseen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Answer(BaseModel):
    """Base of answers. Fields are given by name, and a number that is none becomes null."""

    model_config = ConfigDict(frozen=True)


class Endpoint:
    """Base of endpoint classes: what they answer from."""

    parts: Parts


@dataclass(frozen=True)
class Operation:
    """One route, as the gateway and the OpenAPI document see it. `status` is that of a good answer."""

    name: str
    method: str
    path: str
    scopes: frozenset[Scope]
    answer: type[BaseModel]
    handle: Handler
    request: type[Body] | None = None
    summary: str = ""
    problems: tuple[int, ...] = ()
    status: int = 200
    quick: Callable[[Parts, Any], bool] | None = None
    """Whether, for this body, the handler takes less time than handing it to a thread."""
    pattern: re.Pattern[str] = field(init=False)
    waits: bool = field(init=False)
    """Whether the handler is a coroutine, which does its own waiting; others run in a thread."""

    def __post_init__(self) -> None:
        expression = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        object.__setattr__(self, "pattern", re.compile(expression))
        object.__setattr__(self, "waits", inspect.iscoroutinefunction(self.handle))


def allowed(
    *scopes: Scope,
    status: int = 200,
    problems: tuple[int, ...] = (),
    quick: Callable[[Parts, Any], bool] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let keys with any of `scopes` call this handler. The others: as an Operation has them."""

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        told: Any = handler
        told.scopes, told.status, told.problems, told.quick = frozenset(scopes), status, problems, quick
        return handler

    return decorate


def operations(service: bentoml.Service[Any]) -> list[Operation]:
    """The operations of a service's APIs. An API without `@allowed` has no scopes: nobody may call it."""
    return [posted(service.inner, method) for method in service.apis.values()]


def posted(endpoint: type[Endpoint], method: Any) -> Operation:
    """The POST operation of one `@bentoml.api`.

    The handler is called without the framework's request path: measured at 32 connections, routing, its
    contexts and its encoding cost several times what a short answer does.
    """
    answer = get_type_hints(method.func)["return"]
    return Operation(
        name=method.name,
        method="POST",
        path=method.route,
        scopes=getattr(method.func, "scopes", frozenset()),
        answer=answer,
        handle=bound(endpoint, method.func),
        request=method.input_spec,
        summary=(method.func.__doc__ or "").strip(),
        problems=(400, 413, 415, 422, *getattr(method.func, "problems", ())),
        status=getattr(method.func, "status", 200),
        quick=getattr(method.func, "quick", None),
    )


def bound(endpoint: type[Endpoint], function: Callable[..., Any]) -> Handler:
    """The method as a handler: of an endpoint that holds nothing but the parts."""

    def of(parts: Parts) -> Endpoint:
        holder = endpoint.__new__(endpoint)
        holder.parts = parts
        return holder

    if inspect.iscoroutinefunction(function):

        async def wait(parts: Parts, values: Mapping[str, str], body: Any) -> Any:
            return await function(of(parts), body)

        return wait
    return lambda parts, values, body: function(of(parts), body)

"""The ASGI app of the service: what every request meets before its handler, and every answer after it.

In this order: request id, Host, route (404), method (405), key (401), scope (403), content type (415), size
(413), JSON (400), fields (422), places in flight (429, 503), time (503). Only the routes that it knows exist;
the serving framework's own app sees startup and shutdown. Every error is a problem document.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError

from patron.settings import Settings
from serving import cors
from serving.bootstrap import Parts
from serving.keys import Key
from serving.metrics import Metrics
from serving.operations import Operation
from serving.problems import Problem, Reply, invalid, of_error, request_id, unavailable

Scope = dict[str, Any]
Page = Callable[[], Reply]
HOST = re.compile(rb"[A-Za-z0-9._~%:\[\]-]{1,255}")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
JSON = {"content-type": "application/json"}
ALWAYS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
IN_FLIGHT = 64
IN_FLIGHT_PER_CLIENT = 48
THREADS = 4
"""Threads a worker that handlers run in, so that a slow answer blocks neither the others nor /livez."""
log = logging.getLogger(__name__)


class Gateway:
    """`app`: the serving framework's, which is told of startup and shutdown.

    `pages`: path -> an open GET page that the gateway answers itself.
    """

    def __init__(
        self,
        app: Any,
        operations: Sequence[Operation],
        pages: Mapping[str, Page],
        parts: Callable[[], Parts],
        metrics: Metrics,
    ) -> None:
        self.app = app
        self.operations = operations
        self.fixed = {each.path: [one for one in operations if one.path == each.path] for each in operations}
        self.pages = pages
        self.parts = parts
        self.metrics = metrics
        self.in_flight: Counter[str] = Counter()
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="answers")

    @property
    def settings(self) -> Settings:
        return self.parts().settings

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self.http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def http(self, scope: Scope, receive: Any, send: Any) -> None:
        started = time.perf_counter()
        headers = Headers(scope)
        request_id.set(identify(headers))
        operation, reply = await self.reply(scope, headers, receive)
        self.metrics.observe(operation, reply.status, time.perf_counter() - started)
        extra = cors.headers(headers.text(b"origin"), self.settings.cors_origins)
        await transmit(reply, extra, send)

    async def reply(self, scope: Scope, headers: Headers, receive: Any) -> tuple[str, Reply]:
        """Name of the operation ('other' for none, so that metrics stay bounded) and the answer."""
        name = "other"
        try:
            check_host(headers)
            if scope["method"] == "OPTIONS" and (
                preflight := cors.preflight(headers, self.settings.cors_origins)
            ):
                return name, preflight
            path, method = scope["path"], "GET" if scope["method"] == "HEAD" else scope["method"]
            if path in self.pages:
                name = path.strip("/")
                check_method(method, {"GET"})
                return name, self.pages[path]()
            operation, values = self.route(path, scope, method)
            name = operation.name
            key = self.authorise(headers, operation)
            body = await self.body(headers, receive, operation)
            return name, await self.answer(operation, values, body, key.client)
        except Exception as error:
            problem = of_error(error)
            if problem.status == 500:
                log.exception("The service failed")
            return name, problem.reply()

    def route(self, path: str, scope: Scope, method: str) -> tuple[Operation, dict[str, str]]:
        """The operation, and what stands in the place of each name of its path."""
        found = self.fixed.get(path)
        values: dict[str, str] = {}
        if not found:
            raw = (scope.get("raw_path") or path.encode()).partition(b"?")[0].decode("latin-1")
            matches = [(each, match) for each in self.operations if (match := each.pattern.fullmatch(raw))]
            found = [each for each, _ in matches]
            values = {
                name: unquoted(value) for _, each in matches for name, value in each.groupdict().items()
            }
        if not found:
            raise Problem(404, "no_such_route", "No such route. GET /docs.json lists them.")
        check_method(method, {each.method for each in found})
        return next(each for each in found if each.method == method), values

    def authorise(self, headers: Headers, operation: Operation) -> Key:
        key = self.parts().keys.find(headers.text(b"x-api-key"))
        if key is None:
            raise Problem(
                401,
                "no_key",
                "Send a live key in X-API-Key. Make one: patron keys create NAME --scope storefront",
                headers={"www-authenticate": 'ApiKey realm="patron"'},
            )
        if not key.scopes & operation.scopes:
            scopes = " or ".join(sorted(operation.scopes)) or "no scope at all"
            raise Problem(403, "missing_scope", f"The key lacks the scope of this endpoint: {scopes}.")
        return key

    async def body(self, headers: Headers, receive: Any, operation: Operation) -> Any:
        """The validated request, None where the operation reads no body."""
        if operation.request is None:
            return None
        check_content(headers)
        try:
            async with asyncio.timeout(self.settings.request_timeout_seconds):
                data = await self.read(receive)
        except TimeoutError:
            raise Problem(408, "slow_request", "The body did not arrive in time.", headers=CLOSE) from None
        try:
            return operation.request.model_validate_json(data)
        except ValidationError as error:
            raise invalid(error) from None

    async def read(self, receive: Any) -> bytes:
        """The body, counted as it arrives: a chunked one declares no length."""
        data, limit = bytearray(), self.settings.max_body_bytes
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Problem(400, "disconnected", "The caller went away before the body was complete.")
            data += message.get("body", b"")
            if len(data) > limit:
                detail = f"The body is larger than {limit} bytes. Split it into several requests."
                raise Problem(413, "too_large", detail, headers=CLOSE)
            if not message.get("more_body", False):
                return bytes(data)

    async def answer(self, operation: Operation, values: Mapping[str, str], body: Any, client: str) -> Reply:
        """The handler's answer, if there is a place for one more request and it comes in time."""
        parts = self.parts()
        if operation.quick is not None and operation.quick(parts, body):
            return Reply(operation.status, encoded(operation.handle, parts, values, body), JSON)
        if self.in_flight.total() >= IN_FLIGHT:
            raise unavailable("overloaded", "The service is at its limit. Try again shortly.", 1)
        if self.in_flight[client] >= IN_FLIGHT_PER_CLIENT:
            retry = {"retry-after": "1"}
            raise Problem(429, "too_many_requests", "Too many requests at once.", headers=retry)
        self.in_flight[client] += 1
        task = self.started(operation, parts, values, body)
        task.add_done_callback(lambda done: self.release(client, done))
        finished, _ = await asyncio.wait({task}, timeout=self.settings.request_timeout_seconds)
        if not finished:
            raise unavailable("timeout", "The answer took too long. Ask for less, or try again.", 1)
        return Reply(operation.status, task.result(), JSON)

    def started(
        self, operation: Operation, parts: Parts, values: Mapping[str, str], body: Any
    ) -> asyncio.Future[bytes]:
        """The handler at work: on the loop where it waits by itself, else in a thread."""
        if operation.waits:
            return asyncio.ensure_future(waited(operation, parts, values, body))
        context = contextvars.copy_context()  # for the request id of what is logged
        return asyncio.get_running_loop().run_in_executor(
            self.threads, lambda: context.run(encoded, operation.handle, parts, values, body)
        )

    def release(self, client: str, task: asyncio.Future[bytes]) -> None:
        """Free the place once the work has really ended, also when nobody waits for it any more."""
        self.in_flight[client] -= 1
        self.in_flight += Counter()
        if not task.cancelled():
            task.exception()


def encoded(handle: Any, parts: Parts, values: Mapping[str, str], body: Any) -> bytes:
    """The handler's answer as JSON."""
    answer: str = handle(parts, values, body).model_dump_json()
    return answer.encode()


async def waited(operation: Operation, parts: Parts, values: Mapping[str, str], body: Any) -> bytes:
    """The same of a handler that is a coroutine."""
    answer: Any = await operation.handle(parts, values, body)  # type: ignore[misc]
    return bytes(answer.model_dump_json(), "utf-8")


CLOSE = {"connection": "close"}


class Headers:
    """A request's headers, as bytes: they need not be ASCII."""

    def __init__(self, scope: Scope) -> None:
        self._values = dict(reversed(scope["headers"]))  # the first of several counts

    def get(self, name: bytes) -> bytes:
        """The value, empty where there is none; only the first of several."""
        value: bytes = self._values.get(name, b"")
        return value

    def text(self, name: bytes) -> str:
        return self.get(name).decode("latin-1")


def identify(headers: Headers) -> str:
    """The caller's request id where it is well-formed, else a new one."""
    given = headers.get(b"x-request-id")
    return given.decode() if REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def check_host(headers: Headers) -> None:
    if not HOST.fullmatch(headers.get(b"host")):
        raise Problem(400, "bad_host", "The Host header is missing or malformed.")


def check_method(method: str, known: set[str]) -> None:
    if method not in known:
        allow = ", ".join(sorted(known | ({"HEAD"} if "GET" in known else set())))
        raise Problem(405, "method_not_allowed", f"This route answers {allow}.", headers={"allow": allow})


def check_content(headers: Headers) -> None:
    media_type = headers.text(b"content-type").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "not_json_type", "Send Content-Type: application/json.")
    if headers.text(b"content-encoding").strip().lower() not in ("", "identity"):
        raise Problem(415, "encoded", "Send the body without Content-Encoding.")


def unquoted(value: str) -> str:
    """A part of a path as text. Raises Problem for what is not UTF-8."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise Problem(400, "bad_path", "The path is not UTF-8.") from None


async def transmit(reply: Reply, extra: Mapping[str, str], send: Any) -> None:
    pairs = [
        *(
            (key.encode("latin-1"), value.encode("latin-1"))
            for key, value in {**reply.headers, **extra}.items()
        ),
        *ALWAYS,
        (b"x-request-id", request_id.get().encode()),
        (b"content-length", b"%d" % len(reply.body)),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
    await send({"type": "http.response.body", "body": reply.body})

"""An ASGI app, started and asked within the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx


class InProcess:
    """Blocking requests to an app whose lifespan runs in between."""

    def __init__(self, app: Any, runner: asyncio.Runner) -> None:
        self.app, self.runner = app, runner

    def request(self, method: str, path: str, content: Any = None, **more: Any) -> httpx.Response:
        if isinstance(content, Iterator):
            content = in_chunks(content)

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://patron") as client:
                return await client.request(method, "http://patron" + path, content=content, **more)

        return self.runner.run(ask())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


async def in_chunks(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for each in parts:
        yield each


@contextmanager
def started(app: Any) -> Iterator[InProcess]:
    """The app between its startup and its shutdown."""
    with asyncio.Runner() as runner:
        to_app: asyncio.Queue[Any] = asyncio.Queue()
        from_app: asyncio.Queue[Any] = asyncio.Queue()

        async def start() -> asyncio.Task[Any]:
            await to_app.put({"type": "lifespan.startup"})
            task = asyncio.ensure_future(app({"type": "lifespan"}, to_app.get, from_app.put))
            assert (await from_app.get())["type"] == "lifespan.startup.complete"
            return task

        async def stop(task: asyncio.Task[Any]) -> None:
            await to_app.put({"type": "lifespan.shutdown"})
            await task

        task = runner.run(start())
        try:
            yield InProcess(app, runner)
        finally:
            runner.run(stop(task))

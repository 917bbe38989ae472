"""What a page gets while parts of the service are broken: answers, rungs and how long they took.

    python benchmarks/faults.py [--home PATH] [--seconds 8] [--visitors 8]

Serves, in this process, a copy of the models and the online store of a trained home (by default that of
`patron demo`), breaks one thing after the other, mends it, and prints one row a phase. Exit code 1 when an
answer was not 200, or a mended part was not taken up again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

SLOW_SECONDS = 2.0
SOURCE = "sequence"
"""The source that is slowed down; where the model does not hold it, the one named here instead of it."""
INSTEAD = "als"
MENDED_SECONDS = 30.0


def main() -> int:
    os.environ.update({"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path("var"), help="a home with promoted models")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each phase")
    parser.add_argument("--visitors", type=int, default=8, help="who ask at the same time")
    asked = parser.parse_args()
    from patron import console

    if not (asked.home / "models" / "patron-recommender" / "champion.json").is_file():
        console.note(f"No recommender was promoted in {asked.home}. Make one: patron demo")
        return 1
    with tempfile.TemporaryDirectory(prefix="patron-faults-") as scratch:
        for name in ("models", "online"):
            shutil.copytree(asked.home / name, Path(scratch) / name)
        (Path(scratch) / "features").symlink_to((asked.home / "features").resolve())
        rows = asyncio.run(phases(Path(scratch), asked.seconds, asked.visitors))
    return report(rows)


async def phases(home: Path, seconds: float, visitors: int) -> list[dict[str, Any]]:
    """Every fault, and the recovery from it."""
    from patron.settings import load_settings

    settings = load_settings(
        home=home, clock="data", reload_seconds=0.5, flush_minutes=0, online_store="lmdb"
    )
    rows = []
    async with Service(settings) as service:
        source = SOURCE if SOURCE in service.blend().sources else INSTEAD
        rows.append(await phase("nothing is broken", service, seconds, visitors))
        for what, broken in (
            ("feature store stopped", Moved(settings.online)),
            (f"{source} slow by {SLOW_SECONDS:g} s", Slowed(service.blend(), source)),
        ):
            broken.begin()
            row = await phase(what, service, seconds, visitors)
            broken.end()
            rows.append({**row, "whole again": await mended(service)})
    broken = Moved(settings.models / "patron-recommender")
    broken.begin()
    async with Service(settings) as service:
        row = await phase("model files missing since the start", service, seconds, visitors)
        broken.end()
        rows.append({**row, "whole again": await mended(service)})
    return rows


class Moved:
    """A folder that is not where it should be."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.aside = folder, folder.with_name(f"{folder.name}-aside")

    def begin(self) -> None:
        self.folder.rename(self.aside)

    def end(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.aside.rename(self.folder)


class Slowed:
    """A source of candidates that takes its time."""

    def __init__(self, blend: Any, name: str) -> None:
        self.sources, self.name, self.whole = blend.sources, name, blend.sources[name]

    def begin(self) -> None:
        whole = self.whole

        class Slow(type(whole)):  # type: ignore[misc]
            def __getattribute__(self, name: str) -> Any:
                if name in ("asked", "scores"):
                    time.sleep(SLOW_SECONDS)
                return getattr(whole, name)

        self.sources[self.name] = object.__new__(Slow)

    def end(self) -> None:
        self.sources[self.name] = self.whole


class Service:
    """The service's ASGI app, started and asked without a network between."""

    def __init__(self, settings: Any) -> None:
        from serving.keys import create

        self.settings = settings
        (settings.home / "keys.json").unlink(missing_ok=True)
        self.key = create(settings.home / "keys.json", "faults", ["storefront"])[0].encode()
        self.customers = customers(settings)

    async def __aenter__(self) -> Service:
        from serving.bootstrap import parts
        from serving.service import build

        self.parts = parts(self.settings)
        self.app = build(lambda: self.parts).to_asgi()
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        outbox: asyncio.Queue[Any] = asyncio.Queue()
        self.life = asyncio.ensure_future(self.app({"type": "lifespan"}, self.inbox.get, outbox.put))
        await self.inbox.put({"type": "lifespan.startup"})
        assert (await outbox.get())["type"] == "lifespan.startup.complete"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.inbox.put({"type": "lifespan.shutdown"})
        await self.life

    def blend(self) -> Any:
        return self.parts.model("patron-recommender").model

    async def ask(self, number: int) -> tuple[int, dict[str, Any], float]:
        """(status, answer, seconds) of the page of one customer."""
        customer = self.customers[number % len(self.customers)]
        body = json.dumps({"customer_id": customer, "session_id": f"s{number}", "limit": 10}).encode()
        given = [{"type": "http.request", "body": body, "more_body": False}]
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return given.pop()

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        path = "/v1/recommendations"
        headers = [(b"host", b"x"), (b"content-type", b"application/json"), (b"x-api-key", self.key)]
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "headers": headers,
        }
        began = time.perf_counter()
        await self.app(scope, receive, send)
        return said[0]["status"], json.loads(said[1]["body"]), time.perf_counter() - began


def customers(settings: Any) -> list[str]:
    """Some who bought something."""
    import pyarrow.parquet as pq

    newest = sorted((settings.features / "customer_product_affinity").glob("cutoff=*/part.parquet"))[-1]
    found: list[str] = pq.read_table(newest, columns=["customer_id"])["customer_id"][:500].to_pylist()
    return found


async def phase(what: str, service: Service, seconds: float, visitors: int) -> dict[str, Any]:
    """What so many visitors, each asking again once answered, get in that time."""
    answers: list[tuple[int, dict[str, Any], float]] = []
    until = time.perf_counter() + seconds

    async def visitor(first: int) -> None:
        number = first
        while time.perf_counter() < until:
            answers.append(await service.ask(number))
            number += visitors

    await asyncio.gather(*(visitor(each) for each in range(visitors)))
    took = sorted(each for _, _, each in answers)
    rungs = Counter(found.get("fallback") or "personal" for status, found, _ in answers if status == 200)
    return {
        "phase": what,
        "answers": len(answers),
        "not 200": sum(status != 200 for status, _, _ in answers),
        "rungs": ", ".join(f"{name} {count}" for name, count in rungs.most_common()),
        "p50 ms": 1000 * took[len(took) // 2],
        "p99 ms": 1000 * took[int(len(took) * 0.99)],
        "worst ms": 1000 * took[-1],
    }


async def mended(service: Service) -> float | None:
    """Seconds until pages are personal again; None where they are not."""
    began = time.perf_counter()
    while time.perf_counter() - began < MENDED_SECONDS:
        _, found, _ = await service.ask(0)
        if found.get("fallback") is None and not found.get("degraded", True):
            return time.perf_counter() - began
        await asyncio.sleep(0.1)
    return None


def report(rows: list[dict[str, Any]]) -> int:
    from rich.console import Console

    from patron import console

    def shown(row: dict[str, Any], name: str) -> str:
        value = row.get(name, "")
        return "never" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)

    names = ["phase", "answers", "not 200", "rungs", "p50 ms", "p99 ms", "worst ms", "whole again"]
    Console().print(
        console.table(
            "Pages while something is broken", names, [[shown(row, each) for each in names] for row in rows]
        )
    )
    failed = any(row["not 200"] or row.get("whole again", 0.0) is None for row in rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Is what the service acknowledged still there after kill -9?

    python benchmarks/crash.py [--events 50000] [--kills 20] [--workers 1]

Starts the real service on a small shop of its own, posts events over HTTP from several clients, and kills
every process of the service with SIGKILL at random moments while they do. Clients send a batch again until it
is acknowledged, but of those whose answer did not arrive they give some up for good. Afterwards the log is
read: every acknowledged event must be in it exactly once, with the values that were sent, and a batch that
was given up wholly or not at all. Then the log is moved into the lake by flushes that are killed as well, and
the lake is held to the same.

Prints one table; exit code 1 where anything is missing, double or torn.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from patron import console  # noqa: E402

SERVE = "from patron import cli; from serving import commands; cli.build = lambda: commands.app; cli.main()"
"""`patron`, with the commands of the service, whether or not the project is installed."""
READY_SECONDS = 5.0
GIVEN_UP = 0.2
"""Share of the batches without answer that are not sent again."""
FLUSH_KILLS = 8
START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("view_item", "add_to_cart", "search", "purchase")


@dataclass
class Told:
    """What the clients know: batches by number, and which were acknowledged or given up."""

    batches: list[list[dict[str, Any]]]
    acknowledged: set[int] = field(default_factory=set)
    given_up: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    next: int = 0

    def take(self) -> int | None:
        with self.lock:
            if self.next == len(self.batches):
                return None
            self.next += 1
            return self.next - 1

    @property
    def done(self) -> int:
        return len(self.acknowledged) + len(self.given_up)


def batches(events: int, rng: random.Random) -> list[list[dict[str, Any]]]:
    """Events in batches of 1 to 200, each with values that tell it from any other."""
    made, number = [], 0
    while number < events:
        size = min(rng.choice((1, 5, 20, 50, 100, 200)), events - number)
        made.append([event(number + each) for each in range(size)])
        number += size
    return made


def event(number: int) -> dict[str, Any]:
    return {
        "event_id": f"event-{number}-{uuid.UUID(int=number * 7919)}",
        "occurred_at": (START + timedelta(milliseconds=number)).isoformat(),
        "name": NAMES[number % len(NAMES)],
        "customer_id": f"customer-{number % 977}" if number % 3 else None,
        "session_id": f"session-{number % 1009}",
        "product_id": f"product-{number % 503}",
        "value": number / 100,
        "currency": "EUR",
    }


def client(told: Told, port: int, key: str, seed: int, deadline: float) -> None:
    """Post batches until all are acknowledged or given up."""
    rng = random.Random(seed)
    while (number := told.take()) is not None:
        body, size = json.dumps({"events": told.batches[number]}), len(told.batches[number])
        acknowledged = post(port, key, body, size)
        patient = rng.random() >= GIVEN_UP
        while patient and not acknowledged:
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)
            acknowledged = post(port, key, body, size)
        with told.lock:
            (told.acknowledged if acknowledged else told.given_up).add(number)


def post(port: int, key: str, body: str, size: int) -> bool:
    """Whether all of a batch was acknowledged."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        connection.request("POST", "/v1/events", body, headers)
        answer = connection.getresponse()
        document = json.loads(answer.read())
        return answer.status == 202 and document["accepted"] + document["duplicates"] == size
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


@dataclass(frozen=True)
class Restart:
    """What it took until the service was ready, in seconds: on the clock, and of this processor time."""

    seconds: float
    cpu: float


def cpu_seconds(group: int) -> float:
    """Processor time of all processes of a process group so far."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Service:
    """`patron serve` in a process group of its own, so that all of it can be killed at once."""

    def __init__(self, home: Path, port: int, workers: int) -> None:
        self.port = port
        options = ["serve", "--port", str(port), "--workers", str(workers)]
        self.command = [sys.executable, "-c", SERVE, *options]
        self.environment = environment(home)
        self.log = (home / "service.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Restart:
        """Start it, and wait until it is ready."""
        started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() - started > 120:
                raise SystemExit(f"The service did not start; see {self.log.name}")
            time.sleep(0.02)
        return Restart(time.monotonic() - started, cpu_seconds(self.process.pid))

    def ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def environment(home: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    quiet = {"PATRON_CLOCK": "data", "PATRON_LOG_LEVEL": "error", "PATRON_FLUSH_MINUTES": "0"}
    return {**os.environ, **quiet, "PYTHONPATH": path, "PATRON_HOME": str(home), "PATRON_THREADS": "1"}


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def shop() -> Iterator[tuple[Path, str]]:
    """(home, key) of a small shop whose models are promoted."""
    from serving.keys import create
    from tests.serving.shop import open_shop

    with tempfile.TemporaryDirectory(prefix="patron-crash-") as folder:
        home = Path(folder) / "home"
        open_shop(home)
        yield home, create(home / "keys.json", "crash", ["storefront"])[0]


def storm(service: Service, told: Told, key: str, arguments: argparse.Namespace) -> list[Restart]:
    """Post everything while the service is killed; what each restart took."""
    rng = random.Random(arguments.seed)
    deadline = time.monotonic() + arguments.seconds
    total = len(told.batches)
    points = sorted(rng.sample(range(1, total - arguments.clients), arguments.kills))
    clients = [
        threading.Thread(target=client, args=(told, service.port, key, each, deadline), daemon=True)
        for each in range(arguments.clients)
    ]
    for each in clients:
        each.start()
    restarts = []
    for point in points:
        while told.done < point and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.02)
        service.kill()
        restarts.append(service.start())
    for each in clients:
        each.join(max(0.0, deadline - time.monotonic()))
    return restarts


def judge_log(home: Path, told: Told) -> dict[str, int]:
    """Counts of what is wrong in the log: all should be 0."""
    import apsw

    connection = apsw.Connection(str(home / "events" / "events.db"))
    columns = "event_id, occurred_at, name, customer_id, session_id, product_id, value, currency"
    rows = connection.execute(f"select {columns} from events").fetchall()
    sound = connection.pragma("integrity_check") == "ok"
    connection.close()
    found = compare([row[0] for row in rows], told)
    sent = {each["event_id"]: each for batch in told.batches for each in batch}
    changed = sum(not same(row, sent.get(row[0], {})) for row in rows)
    return found | {"changed": changed, "file damaged": int(not sound)}


def same(row: tuple[Any, ...], sent: dict[str, Any]) -> bool:
    names = ("name", "customer_id", "session_id", "product_id", "value", "currency")
    return bool(sent) and (
        tuple(row[2:]) == tuple(sent[name] for name in names)
        and datetime.fromisoformat(row[1]) == datetime.fromisoformat(sent["occurred_at"])
    )


def compare(ids: list[str], told: Told) -> dict[str, int]:
    """Acknowledged events that are missing, events that are double, batches that are torn."""
    present = set(ids)
    inside = [sum(each["event_id"] in present for each in batch) for batch in told.batches]
    return {
        "acknowledged, missing": sum(len(told.batches[each]) - inside[each] for each in told.acknowledged),
        "double": len(ids) - len(present),
        "batches torn": sum(
            0 < count < len(batch) for count, batch in zip(inside, told.batches, strict=True)
        ),
    }


def flush(home: Path, rng: random.Random) -> int:
    """Move the log into the lake, killed at random moments at first; how often it was cut short."""
    cut = 0
    for attempt in range(FLUSH_KILLS + 1):
        command = [sys.executable, "-m", "patron", "events", "flush", "--json"]
        process = subprocess.Popen(command, env=environment(home), stdout=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(0.3, 2.5) if attempt < FLUSH_KILLS else 300)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            cut += 1
    return cut


def judge_lake(home: Path, told: Told) -> dict[str, int]:
    import pyarrow.parquet as pq

    from patron.lake.tables import Lake

    files = Lake(home / "lake").files("events")
    ids = [each for path in files for each in pq.read_table(path, columns=["event_id"])[0].to_pylist()]
    return compare(ids, told)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=900, help="Bound of the storm.")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    arguments = parsed()
    rng = random.Random(arguments.seed)
    told = Told(batches(arguments.events, rng))
    with shop() as (home, key):
        service = Service(home, free_port(), arguments.workers)
        try:
            service.start()
            began = time.monotonic()
            restarts = storm(service, told, key, arguments)
            seconds = time.monotonic() - began
        finally:
            service.kill()
        log = judge_log(home, told)
        cut = flush(home, rng)
        lake = judge_lake(home, told)
    found = {
        **{f"log: {name}": count for name, count in log.items()},
        **{f"lake: {name}": count for name, count in lake.items()},
        "batches not finished in time": len(told.batches) - told.done,
    }
    wrong, slow = sum(found.values()), any(each.seconds > READY_SECONDS for each in restarts)
    facts = {
        "events sent": arguments.events,
        "acknowledged": sum(len(told.batches[each]) for each in told.acknowledged),
        "given up by the client": sum(len(told.batches[each]) for each in told.given_up),
        "workers": arguments.workers,
        "service killed": f"{len(restarts)} times in {seconds:.0f} s",
        "flushes killed": cut,
        **found,
        "restart to ready": spread([each.seconds for each in restarts])
        + f", at most {READY_SECONDS:g} s asked",
        "processor time of it": spread([each.cpu for each in restarts]),
        "verdict": "failed" if wrong else "slow to restart" if slow else "nothing lost, nothing twice",
    }
    console.answer(facts, False, show)
    return 1 if wrong or slow else 0


def show(facts: dict[str, Any], screen: Any) -> None:
    screen.print(console.table("Events acknowledged before kill -9", ["", "found"], list(facts.items())))


def spread(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    return f"median {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s"


if __name__ == "__main__":
    sys.exit(main())

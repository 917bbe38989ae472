"""The measurements, one function a question: each gives a document that `report` prints."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from patron import console
from storefront import load, loading, peers
from storefront.home import Home
from storefront.load import Plan, request
from storefront.processes import NotStarted, Server
from storefront.scenarios import (
    CHURN_ONE,
    EVENTS,
    HOME,
    LIMIT,
    SCENARIOS,
    Document,
    Scenario,
    Shoppers,
    beginnings,
)
from storefront.statistics import Phase, middle

WARM_SECONDS = 1.0
ROWS = 5_000
"""Customers whose inputs MLflow's server is sent."""
OPEN_SHARE = 0.5
"""The open loop's rate, of what the closed loop reached."""
SERVICE = "Patron"
FASTAPI = "FastAPI + Feast on Redis + booster"
FEAST = "feast serve, features only"
MLFLOW = "mlflow models serve, no features"
NUMPY = "FastAPI + Feast on Redis + numpy"
RANKED = "the same, more features and the ranker"


@dataclass
class Bench:
    """What is measured, for how long, and the servers that run."""

    home: Home
    seconds: float
    connections: int
    rounds: int
    server_cores: set[int]
    stack: ExitStack
    models: str
    """Where they are from, as the report says it."""
    match: tuple[str, ...] = ("",)
    """Endpoints that have none of these in their name are left out."""
    servers: dict[str, Server] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    """What was asked for and failed, and why."""
    skipped: dict[str, str] = field(default_factory=dict)
    """What was left out, and why."""
    peers: bool = False
    redis: Server | None = None
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Scenario -> its row, where it was measured beside peers."""
    begun: int = 0
    """Events posted before anything is asked."""

    def open_peers(self, wanted: bool, cores: set[int]) -> None:
        """Redis with what the peers read, where it can be had."""
        self.peers = wanted
        problem = peers.redis_problem() if wanted else ""
        if problem:
            self.skipped.update(dict.fromkeys((FASTAPI, FEAST, NUMPY, RANKED), problem))
        elif wanted:
            self.redis = self.stack.enter_context(peers.running_redis(self.home, cores))

    def start(self, server: Server) -> Server | None:
        """The running server; None, and written down why, where it does not come up."""
        try:
            self.servers[server.name] = self.stack.enter_context(server)
        except NotStarted as error:
            self.problems[server.name] = str(error)
            return None
        console.note(f"{server.name}: ready after {server.ready_seconds:.1f} s")
        return server


@dataclass
class Target:
    """A server and what it is asked."""

    name: str
    server: Server
    plan: Plan
    beside: Server | None = None
    good: Callable[[Document], bool] = lambda document: True
    rounds: list[Phase] = field(default_factory=list)
    single: Phase = field(default_factory=Phase)
    steady: Phase = field(default_factory=Phase)

    def closed(self, connections: int, seconds: float) -> Phase:
        work = load.closed(self.server.port, self.plan, connections, seconds)
        return load.run(work, self.server, self.beside)

    def opened(self, connections: int, seconds: float, rate: float) -> Phase:
        work = load.opened(self.server.port, self.plan, connections, seconds, rate)
        return load.run(work, self.server, self.beside)


def measure(bench: Bench, targets: Sequence[Target], rounds: int = 1) -> list[dict[str, Any]]:
    """Every target at all connections in turn, `rounds` times; then at one; then at a fixed rate."""
    for each in targets:
        each.closed(bench.connections, min(WARM_SECONDS, bench.seconds))
        each.server.rest()
    for _ in range(rounds):
        for each in targets:
            each.rounds.append(each.closed(bench.connections, bench.seconds))
            each.server.rest()
    for each in targets:
        each.single = each.closed(1, bench.seconds)
    for each in targets:
        rate = OPEN_SHARE * middle(each.rounds, "rate")
        if rate > 0:
            each.steady = each.opened(bench.connections, bench.seconds, rate)
            each.server.rest()
        console.note(f"  {each.name}: {middle(each.rounds, 'rate'):,.0f} requests a second")
    rows = [told(each) for each in targets]
    for row in rows:
        if not row["requests_per_second"]:
            bench.problems[row["name"]] = f"not one request was answered; status: {row['errors']}"
    return [row for row in rows if row["requests_per_second"]]


def told(target: Target) -> dict[str, Any]:
    worker, every = target.server.memory()
    phases = [*target.rounds, target.single, target.steady]
    errors = sum((each.errors for each in phases), Counter())
    return {
        "name": target.name,
        "requests_per_second": middle(target.rounds, "rate"),
        "rates": [each.rate for each in target.rounds],
        "cpu_micros": middle(target.rounds, "cpu_micros"),
        "beside_micros": middle(target.rounds, "beside_micros"),
        "one_connection": latencies(target.single) | {"cpu_micros": target.single.cpu_micros},
        "fixed_rate": latencies(target.steady) | {"rate": OPEN_SHARE * middle(target.rounds, "rate")},
        "full": latencies(target.rounds[-1]),
        "requests": sum(each.ended for each in phases),
        "errors": {str(status): count for status, count in errors.items()},
        "good": share(looked_into(phases), target.good),
        "rungs": rungs(looked_into(phases)),
        "generator_busy": max(each.own_seconds / each.seconds for each in target.rounds),
        "worker_mb": worker / 2**20,
        "all_mb": every / 2**20,
    }


def looked_into(phases: Sequence[Phase]) -> list[bytes]:
    """The kept answers; those to events only where nothing else was asked."""
    kinds = {kind for phase in phases for kind in phase.bodies}
    asked = kinds - {"events"} or kinds
    return [body for phase in phases for kind in asked for body in phase.bodies.get(kind, [])]


def latencies(phase: Phase) -> dict[str, float]:
    return {f"p{round(100 * each)}_ms": phase.millis(each) for each in (0.5, 0.95, 0.99)}


def share(bodies: Sequence[bytes], good: Callable[[Document], bool]) -> float | None:
    """Of the answers that were looked into, those that say what was wanted; None where none was kept."""
    if not bodies:
        return None
    return sum(is_good(each, good) for each in bodies) / len(bodies)


def rungs(bodies: Sequence[bytes]) -> dict[str, float]:
    """Share of each `fallback`, where answers tell one, and of lists that are degraded or short."""
    found: Counter[str] = Counter()
    for each in bodies:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            document = json.loads(each)
            found[document["fallback"] or "personal"] += 1
            found["degraded"] += document["degraded"]
            found["short"] += len(document["items"]) < LIMIT
    return {name: count / len(bodies) for name, count in found.most_common() if count}


def is_good(body: bytes, good: Callable[[Document], bool]) -> bool:
    try:
        return good(json.loads(body))
    except (ValueError, KeyError, TypeError, IndexError):
        return False


def churn(bench: Bench, shop: Shoppers) -> dict[str, Any]:
    """Churn of one customer: the service and its peers."""
    one = scenario(CHURN_ONE)
    targets = [Target(SERVICE, bench.servers[SERVICE], one.plan(shop), good=one.good)]
    if bench.peers:
        targets += filter(None, (each(bench, shop) for each in (fastapi_churn, feast_serve, mlflow_serve)))
    return beside_peers(bench, one, targets)


def beside_peers(bench: Bench, scenario: Scenario, targets: Sequence[Target]) -> dict[str, Any]:
    """The service's row stands among the endpoints as well, and is not measured again."""
    rows = measure(bench, targets, bench.rounds)
    for row in rows:
        if row["name"] == SERVICE:
            bench.measured[scenario.name] = {**row, "name": scenario.name}
    return {"rows": rows}


def fastapi_churn(bench: Bench, shop: Shoppers) -> Target | None:
    if not has_trees(bench, FASTAPI, "churn") or bench.redis is None:
        return None
    server = bench.start(peers.fastapi(bench.home, FASTAPI, bench.server_cores))
    if server is None:
        return None
    bodies = [{"customer_ids": [each]} for each in shop.some(shop.customers, shop.planned)]
    return Target(FASTAPI, server, posts(server, "/churn", bodies), bench.redis, has("churn_probabilities"))


def feast_serve(bench: Bench, shop: Shoppers) -> Target | None:
    if bench.redis is None:
        return None
    server = bench.start(peers.feast_serve(bench.home, FEAST, bench.server_cores))
    if server is None:
        return None
    wanted = {"features": peers.references(bench.home)}
    some = shop.some(shop.customers, shop.planned // 4)
    bodies = [{**wanted, "entities": {"customer_id": [each]}} for each in some]
    return Target(FEAST, server, posts(server, "/get-online-features", bodies), bench.redis, has("results"))


def mlflow_serve(bench: Bench, shop: Shoppers) -> Target | None:
    if not has_trees(bench, MLFLOW, "churn"):
        return None
    server = bench.start(peers.mlflow_serve(bench.home, MLFLOW, bench.server_cores))
    if server is None:
        return None
    plan = posts(server, "/invocations", invocations(bench.home))
    return Target(MLFLOW, server, plan, good=has("predictions"))


def has_trees(bench: Bench, peer: str, model: str) -> bool:
    """Whether there is a booster to give to a peer; said why it is skipped where there is none."""
    found = peers.has(bench.home, model)
    if not found:
        bench.skipped.setdefault(peer, f"Patron's {model} of this home is no booster")
    return found


def recommendations(bench: Bench, shop: Shoppers) -> dict[str, Any]:
    """The home page of a known customer with a session: the service and its peers."""
    home = scenario(HOME)
    targets = [Target(SERVICE, bench.servers[SERVICE], home.plan(shop), good=home.good)]
    if bench.peers:
        targets += filter(None, (bare(bench, shop, name) for name in (NUMPY, RANKED)))
    return beside_peers(bench, home, targets)


def bare(bench: Bench, shop: Shoppers, name: str) -> Target | None:
    """FastAPI, Feast and numpy; for RANKED the ranker too."""
    more = {"PEER_RANKER": "1"} if name == RANKED else {}
    if bench.redis is None or (more and not has_trees(bench, name, "ranker")):
        return None
    server = bench.start(peers.fastapi(bench.home, name, bench.server_cores, **more))
    if server is None:
        return None
    bodies = [{"customer_id": each, "limit": LIMIT} for each in shop.some(shop.visitors, shop.planned)]
    return Target(name, server, posts(server, "/recommendations", bodies), bench.redis, has("items"))


def endpoints(bench: Bench, shop: Shoppers) -> dict[str, Any]:
    """Every endpoint of the service, those it does not have yet named apart."""
    server = bench.servers[SERVICE]
    known = routes(server)
    rows, absent = [], []
    for each in (one for one in SCENARIOS if any(part in one.name for part in bench.match)):
        if each.name in bench.measured:
            rows.append(bench.measured[each.name])
        elif offered(each, known):
            rows += measure(bench, [Target(each.name, server, each.plan(shop), good=each.good)])
        else:
            absent.append(each.name)
    return {"rows": rows, "absent": absent}


def materializing(bench: Bench, shop: Shoppers | None) -> dict[str, Any]:
    """Loading the online store."""
    rows = []
    for side, name in (("patron", SERVICE), ("feast", "Feast on SQLite")):
        found = loading.measure(bench.home, side, bench.server_cores)
        if "problem" in found:
            bench.problems[f"materializing, {name}"] = found["problem"]
            continue
        console.note(f"  {name}: {found['rows']:,} rows in {found['seconds']:.1f} s")
        rows.append({"name": name, **found, "rows_per_second": found["rows"] / found["seconds"]})
    return {"rows": rows}


def scenario(name: str) -> Scenario:
    return next(each for each in SCENARIOS if each.name == name)


def has(field: str) -> Callable[[Document], bool]:
    return lambda document: bool(document.get(field))


def posts(server: Server, path: str, bodies: Sequence[Document]) -> Plan:
    name = path.rpartition("/")[2]
    encoded = (json.dumps(each).encode() for each in bodies)
    return itertools.cycle([(name, request(server.port, "POST", path, each)) for each in encoded])


def invocations(home: Home) -> list[Document]:
    """Rows of the inputs that MLflow's server is sent: real values, 0 where Patron derives them."""
    import lightgbm
    import pyarrow.parquet as pq

    from features import build

    cutoff = build.built_cutoffs(home.settings)[-1]
    path = build.folder(home.settings, loading.VIEW, cutoff) / "part.parquet"
    rows = pq.read_table(path).slice(0, ROWS).to_pylist()
    columns = lightgbm.Booster(model_file=str(peers.folder(home) / "churn.txt")).feature_name()
    data = [[number(row.get(each)) for each in columns] for row in rows]
    return [{"dataframe_split": {"columns": columns, "data": [each]}} for each in data]


def number(value: Any) -> float:
    """JSON knows no NaN, and pandas makes no number of a null: missing is 0."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def routes(server: Server) -> dict[str, Any]:
    """Path -> methods, as the service itself tells."""
    asking = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    asking.request("GET", "/docs.json")
    document = json.loads(asking.getresponse().read())
    asking.close()
    found: dict[str, Any] = document["paths"]
    return found


def offered(scenario: Scenario, known: dict[str, Any]) -> bool:
    wanted = [scenario.path] + ([EVENTS] if "after a view" in scenario.name else [])
    return all(path in known for path in wanted) and scenario.method in known[scenario.path]


def begin(bench: Bench, shop: Shoppers) -> int:
    """Give visitors and guests their first views; how many. 0 where the service takes no events yet."""
    server = bench.servers[SERVICE]
    if EVENTS not in routes(server):
        return 0
    asking = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"X-API-Key": shop.key, "Content-Type": "application/json"}
    taken = 0
    for each in beginnings(shop):
        body = each.partition(b"\r\n\r\n")[2]
        asking.request("POST", EVENTS, body, headers)
        answer = json.loads(asking.getresponse().read())
        taken += answer.get("accepted", 0)
    asking.close()
    return taken

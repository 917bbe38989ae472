from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack

import numpy as np
import pyarrow.parquet as pq
import pytest
from storefront import lake, load, peers, processes, questions, report, scenarios
from storefront.home import Home, sample
from storefront.shop import Size, shop
from storefront.statistics import UNANSWERED, Phase, percentile

from patron.lake.tables import Lake
from patron.settings import PROJECT, load_settings
from serving.keys import create, read
from tests.serving.shop import open_shop

SCRIPT = str(PROJECT / "benchmarks" / "serve.py")
ECHO = """
import asyncio, sys

async def answer(reader, writer):
    seen = 0
    while line := await reader.readline():
        size = 0
        while (header := await reader.readline()).strip():
            if header.lower().startswith(b"content-length:"):
                size = int(header.split(b":")[1])
        body = await reader.readexactly(size)
        seen += 1
        status = b"503 Busy" if b"fail" in line else b"200 OK"
        if b"stall" in line and seen == 1:
            await asyncio.sleep(0.3)
        if b"close" in line:
            break
        writer.write(b"HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (status, len(body), body))
        await writer.drain()
    writer.close()

async def main(port):
    async with await asyncio.start_server(answer, "127.0.0.1", port) as server:
        await server.serve_forever()

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """A home names its settings file in the environment; other tests have their own."""
    monkeypatch.setenv("PATRON_CONFIG", "")


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """A server that answers what it is sent: /fail with 503, /close not at all, /stall late at first."""
    port = processes.free_port()
    command = [sys.executable, "-c", ECHO, str(port)]
    with processes.Server("echo", command, port, tmp_path_factory.mktemp("echo")) as server:
        yield server


def plan(server, path="/", body=b"{}"):
    return itertools.cycle([("some", load.request(server.port, "POST", path, body))])


def test_a_percentile_is_a_value_that_was_measured():
    values = list(range(1, 101))
    assert [percentile(values[::-1], share) for share in (0.5, 0.95, 0.99, 1)] == [50, 95, 99, 100]
    assert percentile([3.0], 0.01) == 3
    assert percentile(values, 0.07) == 7  # 0.07 * 100 is a little more than 7 in binary
    assert np.isnan(percentile([], 0.5))
    with pytest.raises(ValueError, match="Found 0"):
        percentile(values, 0)


def test_a_phase_counts_answers_errors_and_what_never_came():
    phase = Phase(seconds=2.0, cpu_seconds=0.001)
    for status, latency in ((200, 0.001), (200, 0.003), (202, 0.002), (503, 9.0)):
        phase.count("ask", status, latency)
    phase.count("", UNANSWERED, 0.0)
    assert phase.rate == 1.5
    assert phase.errors == Counter({503: 1, UNANSWERED: 1})
    assert phase.cpu_micros == pytest.approx(250)  # the refused one was work too, the missing one was not
    assert phase.millis(0.5) == 2
    assert phase.millis(1.0) == 3


def test_answers_are_read_whole():
    head = b"HTTP/1.1 201 Created\r\nX: 1\r\nContent-LENGTH: 4\r\nY: 2\r\n\r\n"
    assert load.parsed(head + b"ab") is None
    assert load.parsed(head[:20]) is None
    assert load.parsed(head + b"abcd") == (201, b"abcd")
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
    assert load.parsed(chunked) is None
    assert load.parsed(chunked + b"0\r\n\r\n") is not None


def test_a_closed_loop_asks_again_as_soon_as_it_is_answered(echo):
    phase = load.run(load.closed(echo.port, plan(echo, body=b'{"a": 1}'), 4, 0.3), echo)
    assert phase.answered("some") > 40
    assert not phase.errors
    assert phase.bodies["some"][0] == b'{"a": 1}'
    assert phase.cpu_seconds > 0
    assert 0.3 <= phase.seconds < load.DRAIN_SECONDS


def test_an_open_loop_asks_at_its_rate(echo):
    phase = load.run(load.opened(echo.port, plan(echo), 4, 0.5, 200.0), echo)
    assert phase.answered() == 100
    assert not phase.errors


def test_a_stall_is_charged_to_all_who_would_have_come(echo):
    stalled = load.run(load.opened(echo.port, plan(echo, "/stall"), 1, 0.5, 100.0), echo)
    late = [each for each in stalled.latencies["some"] if each > 0.1]
    assert max(late) > 0.25
    assert len(late) > 10  # those that were due during the stall, though each was answered at once when sent


def test_refusals_and_broken_connections_are_errors_and_the_load_goes_on(echo):
    kinds = zip(plan(echo, "/fail"), plan(echo, "/close"), plan(echo), strict=False)
    phase = load.run(load.closed(echo.port, itertools.chain.from_iterable(kinds), 2, 0.3), echo)
    assert set(phase.errors) - {UNANSWERED} == {503, 0}  # the end of the phase may cut one short
    assert phase.answered() > 5


def test_cpu_time_is_that_of_the_whole_tree():
    work = "'sum(range(10**7)); input()'"
    nested = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {work}]).wait()"
    with subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE) as parent:
        deadline = time.monotonic() + 20
        while processes.cpu_seconds(processes.tree(parent.pid)[1:]) < 0.05 and time.monotonic() < deadline:
            time.sleep(0.02)
        tree = processes.tree(parent.pid)
        measured, held = processes.cpu_seconds(tree), processes.resident(parent.pid)
        parent.kill()
    assert len(tree) == 2
    assert measured >= 0.05
    assert held > 1e6
    assert processes.resident(parent.pid) == 0


def test_a_server_that_does_not_come_up_says_why(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    with pytest.raises(processes.NotStarted, match=r"ended with 1: no such thing"):
        processes.Server("broken", command, processes.free_port(), tmp_path).__enter__()


def test_a_server_is_ended_with_all_it_started(tmp_path):
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {ECHO!r}, sys.argv[1]]).wait()"
    port = processes.free_port()
    with processes.Server("nested", [sys.executable, "-c", script, str(port)], port, tmp_path) as server:
        pids = server.pids
    assert len(pids) == 2
    assert not any(processes.resident(each) for each in pids)


def test_the_same_size_is_the_same_shop():
    size = Size(customers=50, products=40)
    one, other = shop(size), shop(size)
    for name, values in vars(one.lines).items():
        assert np.array_equal(values, getattr(other.lines, name), equal_nan=name == "discount")
    assert one.products.ids == other.products.ids


def test_the_shop_has_habits_that_models_can_learn():
    made = shop(Size(customers=2000, products=500))
    lines = made.lines
    known = (lines.customer >= 0) & (lines.quantity > 0)
    pairs = lines.customer[known] * 500 + lines.product[known]
    repeats = 1 - len(np.unique(pairs)) / len(pairs)
    assert 0.1 < repeats < 0.6
    counts = np.sort(np.bincount(lines.product, minlength=500))[::-1]
    assert counts[0] > 10 * np.median(counts)  # a few are bought by many
    assert counts[-1] > 0  # all are bought
    assert len(np.unique(lines.customer[lines.customer >= 0])) == 2000  # everybody bought something
    by = np.argsort(lines.order, kind="stable")
    order, product = lines.order[by], lines.product[by]
    together = np.diff(order) == 0
    companions = made.products.companions(product)
    follows = (companions[:-1] == product[1:]) | (companions[1:] == product[:-1])
    assert follows[together].mean() > 3 * follows[~together].mean()


def test_the_shop_is_a_lake_that_features_can_be_built_from(tmp_path):
    settings = load_settings(home=tmp_path, threads=1, memory_limit="512MB")
    rows = lake.write(settings, shop(Size(customers=30, products=20)))
    found = Lake(settings.lake)
    assert set(rows) == {"order_lines", "products", "customers", "events", "offers", "exposures"}
    assert rows == {name: found.rows(name) for name in found.tables()}
    lines = pq.read_table(found.files("order_lines")[0])
    assert lines["ordered_at"].to_pylist() == sorted(lines["ordered_at"].to_pylist())
    assert set(lines["product_id"].unique().to_pylist()) <= set(
        pq.read_table(found.files("products")[0])["product_id"].to_pylist()
    )


def test_a_step_is_made_once_and_again_when_it_was_made_of_something_else(tmp_path):
    home, made = Home(tmp_path, 30, 20), []
    for of in ("one", "one", "other"):
        with home.step("thing", of) as told:
            made.append(told is not None)
    assert made == [True, False, True]
    home.forget(("thing",))
    assert home.made == {}


def test_a_sample_of_a_basket_keeps_rows_together():
    whole = type("Basket", (), {"__init__": lambda self, *parts: setattr(self, "parts", parts)})
    given = whole()
    given.customers, given.bought, given.before = list("abcdef"), [*range(6)], [*range(10, 16)]
    customers, bought, before = sample(given, 3, seed=1).parts
    places = ["abcdef".index(each) for each in customers]
    assert len(places) == 3
    assert bought == places
    assert before == [each + 10 for each in places]


def row(name, **more):
    latencies = {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 2.5}
    return {
        "name": name,
        "requests_per_second": 100.0,
        "cpu_micros": 1000.0,
        "beside_micros": 0.0,
        "one_connection": latencies,
        "fixed_rate": latencies,
        "errors": {},
        "good": 1.0,
        "generator_busy": 0.1,
        "worker_mb": 1.0,
    } | more


def test_ratios_are_told_against_their_bars():
    found = {
        "churn": {
            "rows": [
                row(questions.SERVICE, requests_per_second=350.0),
                row(questions.FASTAPI),
                row(questions.MLFLOW),
            ]
        },
        "recommendations": {"rows": [row(questions.SERVICE, cpu_micros=1400.0), row(questions.NUMPY)]},
        "endpoints": {"rows": [row("slow", one_connection={"p50_ms": 1.0, "p99_ms": 3.5})]},
        "materializing": {
            "rows": [{"rows_per_second": 40.0, "name": "a"}, {"rows_per_second": 2.0, "name": "b"}]
        },
    }
    bars = list(report.bars(found))
    assert [(round(each["ratio"], 2), each["met"]) for each in bars] == [
        (3.5, True),  # over FastAPI + Feast, 3 at least
        (3.5, False),  # over MLflow, 12 at least
        (1.4, True),
        (2.5, True),  # the tail of churn
        (2.5, True),  # that of recommendations
        (3.5, False),  # that of an endpoint
        (20.0, True),
    ]


def test_answers_of_a_lower_rung_meet_no_bar():
    service = row(questions.SERVICE, cpu_micros=100.0, good=0.5)
    found = {"recommendations": {"rows": [service, row(questions.NUMPY)]}}
    assert [each["met"] for each in report.bars(found)] == [False, True]  # the tail is what it is


def test_what_answered_is_counted():
    full = {"fallback": None, "degraded": False, "items": [{}] * scenarios.LIMIT}
    made = [full, full, {**full, "fallback": "session", "degraded": True}, {**full, "items": []}]
    bodies = [json.dumps(each).encode() for each in made]
    assert questions.rungs(bodies) == {"personal": 0.75, "session": 0.25, "degraded": 0.25, "short": 0.25}
    assert questions.rungs([b"{}", b"no json"]) == {}


def test_a_load_generator_at_its_limit_is_named():
    assert report.busy({"churn": {"rows": [row("a"), row("b", generator_busy=0.95)]}}) == ["b"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A home with real models, as the script wants it beside its settings file."""
    folder = tmp_path_factory.mktemp("home")
    open_shop(folder / "var")
    return folder


def test_the_service_is_driven_and_all_is_ended(opened, tmp_path):
    out = tmp_path / "out.json"
    options = [
        "--as-it-is",
        "--no-peers",
        "--only",
        "endpoints",
        "--match",
        "churn, 1",
        "home",
        "profile",
        "--seconds",
        "0.1",
        "--connections",
        "2",
    ]
    done = subprocess.run(
        [sys.executable, SCRIPT, "--home", str(opened), *options, "--json", str(out)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads(out.read_text())
    rows = {each["name"]: each for each in document["endpoints"]["rows"]}
    assert {scenarios.CHURN_ONE, scenarios.HOME, "customer profile"} <= set(rows)
    assert all(each["requests"] > 0 for each in rows.values())
    failed = {name: set(each["errors"]) - {str(UNANSWERED)} for name, each in rows.items()}
    assert not any(failed.values()), failed  # what the end of a phase cuts short apart
    assert "p99/p50" in done.stdout
    assert not read(opened / "var" / "keys.json")  # the key of the run is gone


def test_peers_that_cannot_be_had_are_skipped_and_said_so(opened, monkeypatch):
    monkeypatch.setattr("storefront.peers.shutil.which", lambda name: None)
    with ExitStack() as stack:
        bench = questions.Bench(Home(opened, 1, 1), 0.1, 1, 1, set(), stack, "some")
        bench.open_peers(True, set())
    assert "apt-get install redis-server" in bench.skipped[questions.FASTAPI]
    assert bench.redis is None
    assert not bench.problems


def test_the_files_of_the_peers_are_of_this_home(opened):
    home = Home(opened, 1, 1)
    peers.prepare(home, ["p00", "p01"])
    assert np.load(peers.folder(home) / "vectors.npy").shape == (2, peers.FACTORS)
    assert not peers.has(home, "churn")  # this home's is a logistic regression
    assert all(":" in each for each in peers.references(home))


def test_help_answers_without_loading_anything():
    command = [sys.executable, "-X", "importtime", SCRIPT, "--help"]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 0
    assert "--connections" in told.stdout
    assert "numpy" not in told.stderr


def test_requests_are_those_of_the_contract(opened):
    home = Home(opened, 1, 1)
    key, _ = create(opened / "other.json", "test", ("storefront",))
    shoppers = scenarios.Shoppers.of(home.settings, 1, key)
    for each in scenarios.SCENARIOS:
        _, data = next(each.plan(shoppers))
        head, _, body = data.partition(b"\r\n\r\n")
        assert key.encode() in head
        assert each.method == "get" or json.loads(body)
    posts = itertools.islice(scenarios.events(2)(shoppers), 2)
    documents = [json.loads(data.partition(b"\r\n\r\n")[2]) for _, data in posts]
    ids = [event["event_id"] for each in documents for event in each["events"]]
    assert len(set(ids)) == 4  # no post repeats another's events

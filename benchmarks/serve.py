"""The service under load, beside plain FastAPI + Feast, `feast serve` and `mlflow models serve`, in one run.

    python benchmarks/serve.py [--home PATH] [--only churn recommendations ...] [--quick] [--json PATH]

A seeded shop of 100,000 customers and 50,000 products is made, trained and kept under the home; later runs
only serve it. Prints one table a question, then every ratio against its bar. Exit code 1 when something that
was asked for did not run; a missed bar is a result.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

SERVED = ("churn", "recommendations", "endpoints")
QUESTIONS = ("materializing", *SERVED)
"""In this order: nothing else runs while the online store is loaded."""
HERE = Path(__file__).resolve().parent
CLIENT = "bench-serve"
QUICK = {"customers": 400, "products": 300, "seconds": 1.0, "connections": 8}


def main() -> int:
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Before numpy and LightGBM are loaded.
    os.environ.update({"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    from storefront.processes import NotStarted

    from patron import console

    try:
        document = measured(asked)
    except NotStarted as error:
        console.note(str(error))
        return 1
    except KeyboardInterrupt:
        console.note("Stopped.")
        return 130
    if asked.json:
        asked.json.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return 1 if document["problems"] else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path("var/bench-serve"), help="made once and kept")
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--match", nargs="+", default=[""], help="endpoints with one of these in their name")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--products", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="in turn with the peers")
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="the service alone")
    parser.add_argument("--quick", action="store_true", help="a tiny shop, a second each: does it run?")
    parser.add_argument("--as-it-is", action="store_true", help="serve the home as it stands; make nothing")
    parser.add_argument("--remake", nargs="+", default=[], metavar="MODEL", help="train it again")
    parser.add_argument("--json", type=Path, help="write everything measured")
    asked = parser.parse_args()
    if asked.quick:
        parser.set_defaults(**QUICK, rounds=1)
        asked = parser.parse_args()
    return asked


def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, told on the way."""
    from rich.console import Console
    from storefront import questions, report
    from storefront.home import MODELS, Home
    from storefront.processes import cores

    from patron import console
    from patron.lake.tables import Lake

    home = Home(asked.home, asked.customers, asked.products)
    if not asked.as_it_is:
        make(home, asked)
    generator, servers = cores()
    machine = report.machine((generator, servers))
    os.sched_setaffinity(0, generator)
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        match = tuple(asked.match)
        models = "those of the home as it was found" if asked.as_it_is else MODELS
        bench = questions.Bench(
            home, asked.seconds, asked.connections, asked.rounds, servers, stack, models, match
        )
        shop = None
        for name in sorted(set(asked.only), key=QUESTIONS.index):
            if name in SERVED and shop is None:
                shop = opened(bench, asked, generator)
            console.note(f"Measuring {name}")
            found[name] = getattr(questions, name)(bench, shop)
    lake = Lake(home.settings.lake)
    rows = {name: lake.rows(name) for name in ("customers", "products", "order_lines")}
    document = {
        "about": [*machine, *report.protocol(bench, rows)],
        **found,
        "bars": list(report.bars(found)),
        "ready_seconds": {name: each.ready_seconds for name, each in bench.servers.items()},
        "skipped": bench.skipped,
        "problems": bench.problems,
    }
    out = Console(width=max(200, Console().width))
    report.show(document, out)
    return document


def make(home: Any, asked: argparse.Namespace) -> None:
    """What the home lacks, in a process of its own: the load generator stays small."""
    from storefront.processes import NotStarted

    home.forget(tuple(asked.remake))
    size = [str(asked.customers), str(asked.products)]
    command = [sys.executable, "-m", "storefront.home", str(home.folder), *size]
    if subprocess.run(command, cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE.parent)}).returncode:
        raise NotStarted(f"The home {home.folder} could not be made; what is made of it stays.")


def opened(bench: Any, asked: argparse.Namespace, generator: set[int]) -> Any:
    """The service and, with peers, Redis; who asks, with a key of this run's own."""
    from storefront import peers, questions
    from storefront.scenarios import Shoppers

    from serving.keys import create, read, revoke

    home = bench.home
    if not asked.as_it_is:
        shutil.rmtree(home.settings.events, ignore_errors=True)
    ring = home.settings.home / "keys.json"
    for each in read(ring):
        if each.client == CLIENT:
            revoke(ring, each.lookup)
    key, record = create(ring, CLIENT, ("storefront", "crm"))
    bench.stack.callback(revoke, ring, record.lookup)
    shop = Shoppers.of(home.settings, 0, key)
    if set(asked.only) & {"churn", "recommendations"}:
        peers.prepare(home, shop.products)
        bench.open_peers(asked.peers, generator)
    service = bench.stack.enter_context(peers.patron(home, questions.SERVICE, bench.server_cores))
    bench.servers[service.name] = service
    shop.port = service.port
    bench.begun = questions.begin(bench, shop)
    return shop


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main())

"""The main job end to end on real data, as the same commands that anyone would type, one process each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from patron import console
from patron.errors import PatronError
from patron.settings import Settings

MAPPING = "complete-journey"
STEPS: tuple[tuple[str, ...], ...] = (
    ("import", MAPPING),
    ("features", "build"),
    ("features", "materialize"),
    ("features", "check"),
    ("train", "all"),
    ("score", "--history", "1"),
)
SCORE = " ".join(STEPS[-1])
GATE_REFUSED = 3


def demo(settings: Settings) -> dict[str, Any]:
    """Run every step and return what each reported, with its seconds.

    A gate that refuses a model does not stop the demo: the champion of before goes on. Raises PatronError
    when a step fails; its own message stands above.
    """
    steps = {}
    for arguments in STEPS:
        name = " ".join(arguments)
        console.note(f"$ patron {name}")
        started = time.monotonic()
        report = run(settings, *arguments)
        steps[name] = {"seconds": round(time.monotonic() - started, 1), "report": report}
    return {
        "seconds": round(sum(step["seconds"] for step in steps.values()), 1),
        "steps": steps,
        "customer": example(settings),
        "key": first_key(settings),
    }


def run(settings: Settings, *arguments: str) -> Any:
    """One command in a process of its own: its progress on our stderr, its JSON document back."""
    command = [sys.executable, "-m", "patron", *arguments, "--json"]
    paths = {"PATRON_HOME": str(settings.home), "PATRON_MLRUNS": str(settings.mlruns)}
    finished = subprocess.run(command, stdout=subprocess.PIPE, env={**os.environ, **paths}, text=True)
    if finished.returncode not in (0, GATE_REFUSED):
        raise PatronError(f"`patron {' '.join(arguments)}` ended with exit code {finished.returncode}.")
    return json.loads(finished.stdout)


def serve(settings: Settings) -> None:
    """Become `patron serve`."""
    os.environ |= {"PATRON_HOME": str(settings.home), "PATRON_MLRUNS": str(settings.mlruns)}
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "patron", "serve"])


def example(settings: Settings) -> str | None:
    """A customer to ask about: the first by id whom the scores call a champion or loyal."""
    import pyarrow.parquet as pq

    path = settings.reports / "scores.parquet"
    if not path.is_file():
        return None
    rows = pq.read_table(path, columns=["customer_id", "segment"]).to_pylist()
    good = [row["customer_id"] for row in rows if row["segment"] in ("champions", "loyal")]
    return min(good or [row["customer_id"] for row in rows], key=lambda each: (len(each), each), default=None)


def first_key(settings: Settings) -> str | None:
    """A key for trying the service, made only where no key exists yet."""
    if (settings.home / "keys.json").is_file():
        return None
    made = run(settings, "keys", "create", "demo", "--scope", "storefront", "--scope", "crm")
    return str(made["key"])


def show(outcome: dict[str, Any], out: Any) -> None:
    """The summary: rows in and out, customers, models, each metric beside its baseline."""
    reports = {name: step["report"] for name, step in outcome["steps"].items()}
    out.print(
        console.table(
            "Rows", ["table", "read", "accepted", "duplicate", "skipped", "quarantined"], rows(reports)
        )
    )
    built, online = reports["features build"], reports["features materialize"]
    scored = reports[SCORE]
    out.print(
        f"Features: {built['rows']:,} rows at {len(built['cutoffs'])} cutoffs; "
        f"online as of {online['as_of'][:10]}; "
        f"{reports['features check']['values']:,} values compared with the snapshot, "
        f"{len(reports['features check']['differences'])} features differ."
    )
    out.print(f"Customers scored: {scored['customers']:,} -> {scored['path']}")
    out.print(moved(scored["summary"]["movements"]))
    columns = ["model", "metric", "shipped", "95% interval", "baseline", "kind", "gate"]
    out.print(console.table("Models on the last, untouched window", columns, metrics(reports["train all"])))
    seconds = [(name, step["seconds"]) for name, step in outcome["steps"].items()]
    out.print(console.table("Seconds", ["step", "seconds"], [*seconds, ("all", outcome["seconds"])]))
    out.print("\nNext:  patron serve      patron ui      patron status")
    if outcome["key"]:
        out.print("A key for trying it (storefront and crm), shown this once:")
        out.print(outcome["key"], highlight=False, soft_wrap=True)
        out.print("Ask for a customer, while `patron serve` runs:")
        out.print(curl(outcome["key"], outcome["customer"]), highlight=False, soft_wrap=True)


def moved(movements: dict[str, Any] | None) -> str:
    """How many changed segment since the moment before, and where most of them went."""
    if movements is None:
        return "Movements: there is no earlier moment to compare with.\n"
    changed = [each for each in movements["segment"] if each["previous"] != each["current"]]
    total = sum(each["customers"] for each in changed)
    most = ", ".join(f"{each['previous']} -> {each['current']} {each['customers']:,}" for each in changed[:3])
    return (
        f"Segments changed since {movements['since']}: {total:,} customers ({most}). More: patron movements\n"
    )


def rows(reports: dict[str, Any]) -> list[tuple[Any, ...]]:
    tables = reports[f"import {MAPPING}"]["tables"]
    return [
        (
            name,
            each["read"],
            each["accepted"],
            each["duplicate"],
            sum(each["skipped"].values()),
            sum(each["quarantined"].values()),
        )
        for name, each in tables.items()
    ]


def metrics(trained: dict[str, Any]) -> list[tuple[Any, ...]]:
    """One line a metric, the model's name and its verdict on the first of them."""
    found = []
    for each in trained["models"]:
        own = {metric: value["value"] for metric, value in each["metrics"].items()}
        baseline = own if each["kind"] == each["baseline"] else each["beside"].get(each["baseline"], {})
        title, kinds, gate = each["model"], f"{each['kind']} / {each['baseline']}", each["outcome"]
        for metric, value in each["metrics"].items():
            interval = f"{console.cell(value['low'])} .. {console.cell(value['high'])}"
            found.append((title, metric, value["value"], interval, baseline.get(metric), kinds, gate))
            title = kinds = gate = ""
    return found


def curl(key: str, customer: str | None) -> str:
    body = json.dumps({"customer_id": customer, "limit": 5, "explain": True})
    return (
        f"curl -s http://127.0.0.1:3000/v1/recommendations -H 'X-API-Key: {key}' "
        f"-H 'Content-Type: application/json' -d '{body}'"
    )

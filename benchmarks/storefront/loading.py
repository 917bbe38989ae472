"""Loading 100,000 customers' features into an online store: Patron's own, and Feast's on SQLite.

`python -m storefront.loading patron|feast SCRATCH` loads the one view that SCRATCH holds, by the call that a
person would make, and prints {"rows", "fields", "seconds", "cpu_seconds"}. Imports and opening are not timed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from patron.files import publish_json
from patron.settings import Settings, load_settings
from storefront.home import Home, environment
from storefront.processes import QUIET

VIEW = "customer_activity"
MOST_SECONDS = 400
SIDES = ("patron", "feast")
Told = dict[str, Any]


def measure(home: Home, side: str, cores: set[int]) -> Told:
    """One load in a fresh process, into a store that is empty; or {"problem": why not}."""
    with tempfile.TemporaryDirectory(prefix="loading-", dir=home.folder) as scratch:
        prepare(home, Path(scratch))
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "storefront.loading", side, scratch],
                env={**os.environ, **QUIET, **environment(home.folder), "PATRON_HOME": scratch},
                cwd=Path(__file__).parents[1],
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
                capture_output=True,
                text=True,
                timeout=MOST_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return {"problem": f"not done in {MOST_SECONDS} s"}
    if ended.returncode:
        return {"problem": (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]}
    told: Told = json.loads(ended.stdout.splitlines()[-1])
    return told


def prepare(home: Home, scratch: Path) -> None:
    """A home that knows one view at one cutoff."""
    from features import build

    cutoff = build.built_cutoffs(home.settings)[-1]
    source = build.folder(home.settings, VIEW, cutoff)
    target = scratch / source.relative_to(home.settings.home)
    shutil.copytree(source, target)
    known = build.index(home.settings)
    day = f"{cutoff:%Y-%m-%d}"
    views = {VIEW: {day: known["views"][VIEW][day]}}
    publish_json(scratch / "features" / "snapshots.json", {**known, "views": views})


def timed(work: Callable[[], object]) -> Told:
    started, before = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - before,
    }


def patron(settings: Settings) -> Told:
    """What `patron features materialize` does."""
    from features.store import apply, materialize

    apply(settings)
    return timed(lambda: materialize(settings))


def feast(settings: Settings) -> Told:
    """Feast's own materialize, DuckDB offline and SQLite online."""
    from feast import FeatureStore, RepoConfig

    from features.build import built_cutoffs
    from features.store import entities, feast_view
    from features.views import named

    config = RepoConfig(
        project="loading",
        provider="local",
        registry=str(settings.home / "feast.db"),
        offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": str(settings.home / "feast-online.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    store.apply([entities()["customer"], feast_view(settings, named(VIEW))])
    cutoff, day = built_cutoffs(settings)[-1], timedelta(days=1)
    return timed(lambda: store.materialize(cutoff - day, cutoff + day, [VIEW]))


def main() -> int:
    side, _ = sys.argv[1:3]
    from features.build import built_cutoffs, index
    from features.views import named

    settings = load_settings()
    day = f"{built_cutoffs(settings)[-1]:%Y-%m-%d}"
    told = {"patron": patron, "feast": feast}[side](settings)
    rows = index(settings)["views"][VIEW][day]["rows"]
    print(json.dumps({"rows": rows, "fields": len(named(VIEW).fields), **told}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Scoring every customer of the generated shop: `patron score` beside a plain script, each a new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from storefront.home import Home
from storefront.home import environment as settings_of

from customer_models.machine import environment
from customer_models.shop import NotMade
from patron import console
from patron.artifacts import champion
from patron.errors import NoChampion

ROUNDS = 3
"""In turn; the one with the median CPU time is told."""
CHURN, VALUE = "patron-churn", "patron-lifetime-value"
TREES = "trees.txt"


def measured(home: Home, scratch: Path, peers: bool) -> dict[str, Any]:
    """{"rows": [...], "models", "skipped"}; a row says seconds, memory and customers a second."""
    commands = {"patron score": [sys.executable, "-m", "patron", "score", "--json", "--to", "scores.parquet"]}
    skipped: dict[str, str] = {}
    if peers:
        try:
            commands["pandas + LightGBM loop"] = plain(home)
        except (NoChampion, NotMade) as error:
            skipped["pandas + LightGBM loop"] = str(error)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for turn in range(ROUNDS):
        for name, command in commands.items():
            console.note(f"Scoring, round {turn + 1} of {ROUNDS}: {name}")
            found[name].append(ran(command, scratch, settings_of(home.folder)))
    rows = [{"by": name, **middle(each)} for name, each in found.items()]
    for row in rows:
        row["ratio"] = (
            {clock: rows[0][clock] / row[clock] for clock in ("cpu", "wall")} if row is not rows[0] else {}
        )
    table = pq.read_table(scratch / "scores.parquet")
    missing = json.loads(rows[0].pop("said"))["missing"]
    return {
        "rows": [{key: value for key, value in each.items() if key != "said"} for each in rows],
        "customers": len(table),
        "columns": table.num_columns,
        "missing": missing,
        "skipped": skipped,
    }


def plain(home: Home) -> list[str]:
    """The command of the plain script. Raises NoChampion, or NotMade where a champion has no trees."""
    trees = [champion(home.settings.models, name).folder / TREES for name in (CHURN, VALUE)]
    for each in trees:
        if not each.is_file():
            raise NotMade(
                f"The champion in {each.parent} is none of trees: the loop has nothing to score with."
            )
    snapshots = sorted((home.settings.features / "customer_activity").glob("cutoff=*/part.parquet"))
    given = [str(snapshots[-1]), *map(str, trees), "plain.parquet"]
    return [sys.executable, "-W", "ignore", "-m", "customer_models.plain", *given]


def ran(command: Sequence[str], folder: Path, more: dict[str, str]) -> dict[str, Any]:
    """Run to the end: seconds by the clock and of all its threads, and its peak memory. Raises NotMade."""
    told = folder / "said.txt"
    started = time.perf_counter()
    with told.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            list(command), cwd=folder, env={**environment(threads=2), **more}, stdout=out, stderr=sys.stderr
        )
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise NotMade(f"{command[3]} ended with {process.returncode}; see its message above.")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall": time.perf_counter() - started,
        "cpu": used.ru_utime + used.ru_stime,
        "memory_mb": used.ru_maxrss * unit / 2**20,
        "said": told.read_text(encoding="utf-8"),
    }


def middle(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The run with the median CPU time, and the largest peak of all."""
    ordered = sorted(found, key=lambda each: each["cpu"])
    return {**ordered[len(ordered) // 2], "memory_mb": max(each["memory_mb"] for each in found)}

"""`patron features ...` as a shell sees it: one JSON document, progress elsewhere, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from features.store import forget
from features.views import offered
from tests.features.snapshots import settings_of
from tests.shops import line, write_lake

ROOT = Path(__file__).parents[2]
COMMAND = """
from importlib.metadata import EntryPoint
from patron import cli
cli.entry_points = lambda group: [EntryPoint("features", "features.commands:app", group)]
cli.main()
"""
"""The command line with this room's commands, whether or not the project is installed."""


def patron(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "features", *words],
        cwd=ROOT,
        env=os.environ | {"PATRON_HOME": str(home), "PATRON_MLRUNS": str(home / "mlruns")},
        capture_output=True,
        text=True,
        timeout=120,
    )


def document(done: subprocess.CompletedProcess[str], exit_code: int = 0) -> Any:
    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def test_build_materialize_and_check(tmp_path: Path) -> None:
    moments = ["2024-01-10", "2024-01-30", "2024-02-20"]
    write_lake(tmp_path, order_lines=[line(customer, "p", at) for at in moments for customer in "ab"])
    outcome = document(
        patron(tmp_path, "build", "--cutoffs", "2024-02-01,2024-02-15", "--cutoffs", "2024-03-01", "--json")
    )
    assert outcome["cutoffs"] == ["2024-02-01", "2024-02-15", "2024-03-01"]
    assert (outcome["built"], outcome["kept"]) == (31, 0)
    outcome = document(patron(tmp_path, "materialize", "--json"))
    assert outcome["as_of"] == "2024-03-01T00:00:00+00:00"
    assert outcome["rows"]["customer_activity"] == 2
    assert document(patron(tmp_path, "check", "--json"))["differences"] == {}
    forget(settings_of(tmp_path), "customer", "a")
    done = patron(tmp_path, "check", "--json")
    assert document(done, exit_code=1)["differences"]["customer_activity:orders_total"] == 1
    assert "patron features materialize" in done.stderr


def test_what_is_wrong_is_one_document_too(tmp_path: Path) -> None:
    found = document(patron(tmp_path, "build", "--json"), exit_code=1)
    assert found["error"]["code"] == "lake"
    found = document(patron(tmp_path, "materialize", "--json"), exit_code=1)
    assert found["error"]["code"] == "features"


def test_list_names_every_feature(tmp_path: Path) -> None:
    found = document(patron(tmp_path, "list", "--json"))
    assert {each["reference"]: each["type"] for each in found} == offered()

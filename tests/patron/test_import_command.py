"""`patron import` as people and scripts call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patron.settings import PROJECT
from tests.lake_shop import HEADER, MAPPING

ROW = "1,ann,tea,2024-01-05 10:00:00,2,3.50"


def patron(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATRON_HOME": str(folder / "var"),
        "PATRON_CONFIGS": str(folder / "configs"),
    }
    return subprocess.run(
        [sys.executable, "-m", "patron", *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "configs" / "imports").mkdir(parents=True)
    (tmp_path / "configs" / "imports" / "shop.toml").write_text(MAPPING)
    (tmp_path / "orders.csv").write_text(f"{HEADER}\n{ROW}\n{ROW}\n2,bob,cup,soon,1,1\n")
    return tmp_path


def test_json_is_all_that_stands_on_stdout(folder):
    done = patron(folder, "import", "shop", str(folder / "orders.csv"), "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["mapping"]) == (0, "shop")
    counts = report["tables"]["order_lines"]
    assert (counts["read"], counts["accepted"], counts["duplicate"]) == (3, 1, 1)
    assert counts["quarantined"] == {"ordered_at is not a time": 1}


def test_people_get_a_table(folder):
    done = patron(folder, "import", "shop", str(folder / "orders.csv"))
    assert done.returncode == 0
    for told in (
        "Imported by shop (EUR)",
        "order_lines",
        "ordered_at is not a time",
        "2 read, 1 the same again",
    ):
        assert told in done.stdout


def test_wrong_data_ends_with_1_and_a_wrong_mapping_with_2(folder):
    done = patron(folder, "import", "shop", "nowhere.csv", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "data")
    assert "Traceback" not in done.stderr
    done = patron(folder, "import", "shoop", "orders.csv")
    assert done.returncode == 2
    assert "There are: shop" in done.stderr

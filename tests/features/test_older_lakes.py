"""Lakes written before the contract had a column: it is null there, alone and beside newer files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from features.engine import connect
from features.staging import lake_table
from patron.lake.contract import ARROW_SCHEMAS
from patron.lake.tables import Lake
from patron.settings import load_settings
from tests.shops import write_lake

NEW = "propensities"


def exposure(number: int) -> dict[str, object]:
    return {
        "decision_id": f"d{number}",
        "customer_id": "ann",
        "offer_id": "none",
        "shown_at": datetime(2026, 1, number, tzinfo=UTC),
        "propensity": 0.5,
        NEW: '{"none": 0.5}',
    }


def without(home: Path, name: str) -> None:
    """Write a file of the lake again as it was before."""
    path = home / "lake" / "exposures" / name
    pq.write_table(pq.read_table(path).drop_columns([NEW]), path)


def read(home: Path) -> list[str | None]:
    settings = load_settings(home=home, threads=1, memory_limit="512MB")
    engine = connect(settings)
    try:
        found = lake_table(engine, Lake(home / "lake"), "exposures").order_by("decision_id").to_pyarrow()
    finally:
        engine.disconnect()
    assert found.schema.names == ARROW_SCHEMAS["exposures"].names
    return found[NEW].to_pylist()


def test_a_file_without_the_column(tmp_path):
    write_lake(tmp_path, exposures=[exposure(1)])
    without(tmp_path, "part.parquet")
    assert read(tmp_path) == [None]


def test_an_older_file_beside_a_newer_one(tmp_path):
    lake = write_lake(tmp_path, exposures=[exposure(1)])
    newer = pq.read_table(lake / "exposures" / "part.parquet")
    without(tmp_path, "part.parquet")
    newer = newer.set_column(0, "decision_id", [["d2"]])
    pq.write_table(newer, lake / "exposures" / "newer.parquet")
    facts = json.loads((lake / "manifest.json").read_text())
    entry = {**facts["tables"]["exposures"]["files"][0], "path": "exposures/newer.parquet"}
    facts["tables"]["exposures"]["files"].append(entry)
    (lake / "manifest.json").write_text(json.dumps(facts))
    assert read(tmp_path) == [None, '{"none": 0.5}']

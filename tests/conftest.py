"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FILES = ("cdnow_sample.txt", "online_retail.csv.gz", "hillstrom.csv.gz", "amazon_beauty.txt")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets: PATRON_TEST_DATA, or `../shared/data`. Skips where a file is absent."""
    folder = Path(os.environ.get("PATRON_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    absent = [name for name in FILES if not (folder / name).is_file()]
    if absent:
        pytest.skip(f"no {', '.join(absent)} in {folder}: set PATRON_TEST_DATA to the folder of data sets")
    return folder

"""A shop that sells every day, and a home to write its lake into."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patron.settings import Settings, load_settings
from tests.shops import line, write_lake

START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
Rows = list[dict[str, Any]]


def daily(days: int = 281, seed: int = 3, a_day: float = 20) -> Rows:
    """Order lines of about `a_day` a day, the last of them on a Monday; one in ten without a customer."""
    rng = np.random.default_rng(seed)
    found = []
    for day in range(days):
        for number in range(rng.poisson(a_day)):
            product = int(rng.integers(12))
            found.append(
                line(
                    None if rng.random() < 0.1 else f"secret-{rng.integers(200):03d}",
                    f"p{product}",
                    START + timedelta(days=day, hours=int(rng.integers(8, 20)), minutes=number),
                    int(rng.integers(1, 5)),
                    round(float((2 + product) * rng.lognormal(0, 0.05)), 2),
                    order_id=f"o{day}-{number}",
                )
            )
    return found


@pytest.fixture(scope="session")
def lines() -> Rows:
    return daily()


@pytest.fixture
def home(tmp_path: Path) -> Callable[..., Settings]:
    """Write a lake; gives its settings."""

    def write(clock: str = "data", **tables: Rows) -> Settings:
        write_lake(tmp_path, **tables)
        return load_settings(home=tmp_path, mlruns=tmp_path / "mlruns", clock=clock, threads=1)

    return write

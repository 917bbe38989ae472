"""Building and reading snapshots in tests, and shops with everything odd that a real one has."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from features.build import build, folder
from features.view import View
from features.views import VIEWS
from patron.settings import Settings, load_settings
from tests.shops import line, random_shop, write_lake

START = datetime(2023, 1, 1, tzinfo=UTC)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def settings_of(home: Path) -> Settings:
    return load_settings(home=home, mlruns=home / "mlruns", threads=2, memory_limit="1GB", clock="data")


def built(
    home: Path,
    cutoffs: Iterable[str | datetime],
    views: Iterable[View] = VIEWS,
    **tables: list[dict[str, Any]],
) -> Settings:
    """Write the lake and build snapshots at the cutoffs."""
    write_lake(home, **tables)
    settings = settings_of(home)
    build(settings, [day(each) if isinstance(each, str) else each for each in cutoffs], views)
    return settings


def rows_of(settings: Settings, view: View, cutoff: str | datetime) -> dict[str, dict[str, Any]]:
    """A snapshot as entity -> field -> value."""
    found = pq.ParquetFile(folder(settings, view.name, cutoff) / "part.parquet").read().to_pylist()
    return {row.pop(view.key): row for row in found}


def odd_shop(customers: int = 120, days: int = 430, seed: int = 11) -> dict[str, list[dict[str, Any]]]:
    """A random shop with parts of seconds and units, late arrivals, products unknown, hidden or without
    category, orders in the same second, and customers who only return."""
    rng = np.random.default_rng(seed)
    shop = random_shop(customers=customers, products=40, days=days, seed=seed, start=START)
    for each in shop["order_lines"]:
        each["ordered_at"] += timedelta(microseconds=int(rng.integers(1_000_000)))
        if rng.random() < 0.1:  # on the edge of every window
            each["ordered_at"] = each["ordered_at"].replace(hour=0, minute=0, second=0, microsecond=0)
        if rng.random() < 0.1:
            each["quantity"] *= float(rng.choice([0.125, 1.5, 0.333]))
        if rng.random() < 0.1:
            each["unit_price"] = float(rng.choice([1.005, 0.000001, 2.675, 3.3349, 0]))
        if rng.random() < 0.1:
            each["ingested_at"] = each["ordered_at"] + timedelta(days=int(rng.integers(20)))
    shop["order_lines"] += same_second(shop["order_lines"][::40])
    shop["order_lines"] += [
        line(f"returner{each}", "p01", START + timedelta(days=30 * each, hours=3), -1) for each in range(5)
    ]
    for each in shop["products"][3::7]:
        each["category"] = None
    for place, each in enumerate(shop["products"]):
        each["brand"] = ("Leaf", "Bean", None)[place % 3]
    for each in shop["products"][5::11]:
        each["visible"] = False
    del shop["products"][2]
    return shop


def same_second(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Another order in the same second as each line, of another product."""
    return [each | {"order_id": f"0{each['order_id']}", "product_id": "p00"} for each in lines]


def snapshot_of(home: Path, view: View, cutoff: str, *lines: dict[str, Any], **tables: Any) -> dict[str, Any]:
    """The snapshot of a tiny shop at one cutoff."""
    return rows_of(built(home, [cutoff], [view], order_lines=list(lines), **tables), view, cutoff)

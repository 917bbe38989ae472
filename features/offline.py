"""Reading features for training (Feast's point-in-time join) and for batch scoring (the newest snapshot)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.build import built_cutoffs, folder, index
from features.rows import Rows, column
from features.store import apply
from features.views import named, offered, split
from patron.errors import FeatureError
from patron.settings import Settings


def historical(
    settings: Settings, ids: Sequence[str], cutoffs: Sequence[datetime], references: Sequence[str]
) -> Rows:
    """Features of each (customer, cutoff), in the order given, read through `get_historical_features`.

    Feast takes the newest row up to the cutoff; where rows of a view lapse, only that of the cutoff holds.
    Raises FeatureError for a cutoff without a snapshot, or a feature that has no history.
    """
    import pandas as pd

    grouped = split(list(references))
    timeless = [name for name in grouped if not named(name).historical]
    if timeless:
        raise FeatureError(f"{', '.join(timeless)} says what is true today and has no history to train on.")
    unbuilt = (set(cutoffs) - set(built_cutoffs(settings, name)) for name in grouped)
    missing = sorted(set[datetime]().union(*unbuilt))
    if missing:
        days = ",".join(f"{each:%Y-%m-%d}" for each in missing)
        raise FeatureError(f"No snapshot at {days}. Build it: patron features build --cutoffs {days}")
    if not len(ids):
        empty = {each.split(":")[1]: column([], offered()[each]) for each in references}
        return Rows([], empty, np.zeros(0, dtype=bool), None)
    asked = pd.DataFrame({"customer_id": list(ids), "event_timestamp": list(cutoffs), "row": range(len(ids))})
    store = apply(settings)
    with warnings.catch_warnings(record=True):  # Feast prints deprecations of others, filters or not
        frame = store.get_historical_features(entity_df=asked, features=list(references)).to_df()
    frame = frame.sort_values("row")
    columns, kinds = {}, offered()
    known = np.zeros(len(frame), dtype=bool)
    for view, fields in grouped.items():
        lapsed = ~standing(settings, view, ids, cutoffs) if named(view).lapses else None
        for name in fields:
            values = frame[name] if lapsed is None else frame[name].astype(object).mask(lapsed, None)
            columns[name] = column(plain(values), kinds[f"{view}:{name}"])
            known |= values.notna().to_numpy()
    return Rows(list(ids), columns, known, max(cutoffs))


def standing(
    settings: Settings, view: str, ids: Sequence[str], cutoffs: Sequence[datetime]
) -> NDArray[np.bool_]:
    """Which (customer, cutoff) stand in the view's snapshot of that very cutoff."""
    import pyarrow.parquet as pq

    files = {cutoff: pq.ParquetFile(part(settings, view, cutoff)) for cutoff in set(cutoffs)}
    there = {
        cutoff: set(file.read(["customer_id"])["customer_id"].to_pylist()) for cutoff, file in files.items()
    }
    return np.array([each in there[cutoff] for each, cutoff in zip(ids, cutoffs, strict=True)], dtype=bool)


def plain(values: Any) -> list[Any]:
    """A pandas column as Python values with None for missing."""
    return [
        None if value is None or (np.ndim(value) == 0 and value != value) else value
        for value in values.tolist()
    ]


def newest_cutoff(settings: Settings) -> datetime:
    return built_cutoffs(settings)[-1]


def latest(settings: Settings, references: Sequence[str]) -> Rows:
    """Features of every customer with orders, from the newest snapshot, by ascending customer id."""
    return snapshot(settings, references, newest_cutoff(settings))


def snapshot(settings: Settings, references: Sequence[str], cutoff: datetime) -> Rows:
    """Features of every customer with orders before `cutoff`, straight from the Parquet files.

    The customers of `customer_activity` lead; other views are joined to them. Raises FeatureError.
    """
    import duckdb

    grouped = split(list(references))
    base = part(settings, "customer_activity", cutoff)
    selected = [f'{view}."{field}"' for view, fields in grouped.items() for field in fields]
    joins = [
        f"left join read_parquet('{part(settings, view, cutoff)}') {view} using (customer_id)"
        for view in grouped
    ]
    query = (
        f"select {', '.join(['customer_id', *selected])} from read_parquet('{base}') base "
        f"{' '.join(joins)} order by customer_id"
    )
    with duckdb.connect(config={"threads": settings.threads}) as engine:
        found = engine.execute(query).to_arrow_table()
    kinds = offered()
    columns = {
        field: column(found[field].to_pylist(), kinds[f"{view}:{field}"])
        for view, fields in grouped.items()
        for field in fields
    }
    ids = found["customer_id"].to_pylist()
    return Rows(ids, columns, np.ones(len(ids), dtype=bool), cutoff)


def part(settings: Settings, view: str, cutoff: datetime) -> Path:
    if f"{cutoff:%Y-%m-%d}" not in index(settings)["views"].get(view, {}):
        raise FeatureError(f"No snapshot of {view} at {cutoff:%Y-%m-%d}. Build it: patron features build")
    return folder(settings, view, cutoff) / "part.parquet"

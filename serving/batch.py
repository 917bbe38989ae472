"""`patron score`: every customer of the newest snapshot, a row each, with the numbers of the API."""

from __future__ import annotations

import functools
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from patron.errors import NoChampion, PatronError, UsageError
from patron.files import sync
from patron.settings import Settings
from serving.bootstrap import Served, open_models
from serving.scoring import best_action, churn_table, segment_table, value_table

if TYPE_CHECKING:
    import pyarrow as pa

    from features.rows import Rows

CHURN, VALUE, OFFERS = "patron-churn", "patron-lifetime-value", "patron-offers"
MODELS = (CHURN, VALUE, OFFERS)
ABOUT = ("customer_profile:consent_offers", "customer_profile:tier")
CHUNK = 20_000
FORMATS = (".parquet", ".csv")
COUNTED = ("churn_status", "churn_risk", "value_tier", "segment", "lifecycle_stage", "best_action")
Columns = dict[str, list[Any]]


def schema() -> pa.Schema:
    import pyarrow as pa

    texts = ("value_tier", "segment", "lifecycle_stage")
    numbers = ("expected_value", "value_low", "value_high", "expected_orders", "probability_active")
    moment = pa.timestamp("us", "UTC")
    return pa.schema(
        {
            "customer_id": pa.string(),
            "churn_status": pa.string(),
            "churn_probability": pa.float64(),
            "churn_risk": pa.string(),
            **dict.fromkeys(numbers, pa.float64()),
            **dict.fromkeys(texts, pa.string()),
            "expected_next_order_at": moment,
            "best_action": pa.string(),
            "reasons": pa.string(),
            "churn_model_version": pa.string(),
            "value_model_version": pa.string(),
            "offers_model_version": pa.string(),
            "features_as_of": moment,
        }
    )


def score_all(
    settings: Settings, to: Path | None = None, advance: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Score everybody into a Parquet or CSV file, which appears whole or not at all.

    Columns of a model that was not promoted are empty. Returns {"path", "customers", "features_as_of",
    "models", "missing", "counts"}. Raises UsageError for another suffix, NoChampion without any model,
    FeatureError without a snapshot.
    """
    path = to or settings.reports / "scores.parquet"
    if path.suffix not in FORMATS:
        raise UsageError(f"{path.name} has no suffix of {', '.join(FORMATS)}; it says how to write the file.")
    missing: dict[str, PatronError] = {}
    offered = built(settings)
    models = open_models(settings, offered, missing)
    if not any(name in models for name in MODELS):
        raise missing.get(CHURN) or NoChampion("No champion to score with. Train: patron train all")
    rows = read(settings, models, offered)
    now = rows.as_of if settings.clock == "data" and rows.as_of else datetime.now(UTC)
    counts: dict[str, Counter[Any]] = {name: Counter() for name in COUNTED}
    with writer(path) as write:
        for done, columns in chunks(models, rows, now):
            write(columns)
            for name, counter in counts.items():
                counter.update(columns[name])
            advance(done, len(rows))
    return {
        "path": str(path),
        "customers": len(rows),
        "features_as_of": rows.as_of,
        "models": {name: models[name].version for name in MODELS if name in models},
        "missing": [name for name in MODELS if name not in models],
        "counts": {
            name: {str(value): count for value, count in counter.most_common() if value is not None}
            for name, counter in counts.items()
        },
    }


def built(settings: Settings) -> set[str]:
    """The references of every view that has snapshots. Raises FeatureError when nothing was built."""
    from features.build import index
    from features.views import VIEWS

    known = index(settings)["views"]
    return {reference for view in VIEWS if view.name in known for reference in view.references}


def read(settings: Settings, models: Mapping[str, Served], offered: set[str]) -> Rows:
    """The newest snapshot, with the features that the models read and the consent to offers."""
    from features.offline import latest

    wanted = [each for each in ABOUT if each in offered]
    for name in MODELS:
        if name in models:
            wanted += models[name].model.references
    return latest(settings, list(dict.fromkeys(wanted)))


def chunks(models: Mapping[str, Served], rows: Rows, now: datetime) -> Iterator[tuple[int, Columns]]:
    """(customers done, their columns), some thousands at a time; one empty chunk where there are none."""
    for start in range(0, max(len(rows), 1), CHUNK):
        part = rows.take(np.arange(start, min(start + CHUNK, len(rows))))
        yield start + len(part), scored(models, part, now)


def scored(models: Mapping[str, Served], rows: Rows, now: datetime) -> Columns:
    """The columns of some customers, None where the model is missing or has nothing to say."""
    nothing: list[Any] = [None] * len(rows)
    columns: Columns = dict.fromkeys(schema().names, nothing)
    columns |= {"customer_id": rows.ids, "features_as_of": [rows.as_of] * len(rows)}
    words: list[list[str]] = [[] for _ in rows.ids]
    if CHURN in models:
        columns |= churn_columns(models[CHURN], rows, words)
    if VALUE in models:
        columns |= value_columns(models[VALUE], rows, words)
    if OFFERS in models:
        columns |= offer_columns(models[OFFERS], rows, now)
    return columns | {"reasons": ["; ".join(each) or None for each in words]}


def churn_columns(served: Served, rows: Rows, words: list[list[str]]) -> Columns:
    table = churn_table(served, rows)
    tell("churn", table.reasons, words)
    return {
        "churn_status": table.status,
        "churn_probability": table.probability,
        "churn_risk": table.risk,
        "expected_next_order_at": table.next_order_at,
        "churn_model_version": [served.version] * len(rows),
    }


def value_columns(served: Served, rows: Rows, words: list[list[str]]) -> Columns:
    table = value_table(served, rows, served.model.horizon_days)
    tell("value", table.reasons, words)
    return {
        "expected_value": table.expected_value,
        "value_low": table.low,
        "value_high": table.high,
        "expected_orders": table.expected_orders,
        "probability_active": table.probability_active,
        "value_tier": table.tier,
        "value_model_version": [served.version] * len(rows),
    }


def offer_columns(served: Served, rows: Rows, now: datetime) -> Columns:
    segments, stages = segment_table(served.model, rows)
    unknown = np.full(len(rows), None)
    consent, tiers = (rows.columns.get(each, unknown) for each in ("consent_offers", "tier"))
    best = functools.cache(lambda segment, tier: best_action(served.model, segment, now, tier).offer_id)
    actions = [
        "none" if agreed is False else best(segment, tier)
        for segment, agreed, tier in zip(segments, consent, tiers, strict=True)
    ]
    return {
        "segment": segments,
        "lifecycle_stage": stages,
        "best_action": actions,
        "offers_model_version": [served.version] * len(rows),
    }


def tell(subject: str, reasons: list[list[Any]], words: list[list[str]]) -> None:
    for row, found in enumerate(reasons):
        if found:
            words[row].append(f"{subject}: {', '.join(each.text for each in found)}")


@contextmanager
def writer(path: Path) -> Iterator[Callable[[Columns], None]]:
    """A function that appends columns to a file aside; it takes its place when the block ends well."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    form = pa.parquet.ParquetWriter if path.suffix == ".parquet" else pa.csv.CSVWriter
    try:
        with form(str(aside), schema()) as file:
            yield lambda columns: file.write_table(pa.table(columns, schema=schema()))
        sync(aside)
        aside.replace(path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)

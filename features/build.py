"""Computing snapshots: `features/<view>/cutoff=YYYY-MM-DD/part.parquet`, each built once."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features import cutoffs as moments
from features.engine import connect
from features.staging import Staged, stage
from features.view import TABLES, View
from features.views import VIEWS
from patron.errors import FeatureError
from patron.files import publish_folder, publish_json
from patron.lake.tables import Lake
from patron.settings import Settings

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


def index_path(settings: Settings) -> Path:
    return settings.features / "snapshots.json"


def index(settings: Settings) -> dict[str, Any]:
    """What is built: {"lake": hash, "views": {view: {cutoff: {"hash", "rows", "created"}}}}.

    Raises FeatureError when nothing was built.
    """
    path = index_path(settings)
    if not path.is_file():
        raise FeatureError("No features were built. Build them: patron features build")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def built_cutoffs(settings: Settings, view: str = "customer_activity") -> list[datetime]:
    """The cutoffs that `view` has snapshots of, oldest first."""
    return sorted(moments.parse(each) for each in index(settings)["views"].get(view, {}))


def has_rows(settings: Settings, view: str, cutoffs: Iterable[datetime]) -> bool:
    """Whether `view` has a snapshot at every cutoff, and an entity in each."""
    entries = index(settings)["views"].get(view, {})
    return all(entries.get(f"{each:%Y-%m-%d}", {"rows": 0})["rows"] for each in cutoffs)


def folder(settings: Settings, view: str, cutoff: datetime | str) -> Path:
    day = cutoff if isinstance(cutoff, str) else f"{cutoff:%Y-%m-%d}"
    return settings.features / view / f"cutoff={day}"


def input_hash(settings: Settings, lake: Lake, view: View) -> str:
    clock = f" {time_zone(settings, lake)}" if view.local else ""
    return hashlib.sha256(f"{lake.hash(*view.tables)} {view.code_hash}{clock}".encode()).hexdigest()


def time_zone(settings: Settings, lake: Lake) -> str:
    """The shop's own: as set, or of the mapping that its order lines came by; UTC where nobody said."""
    if settings.time_zone != "import":
        return settings.time_zone
    return str(lake.facts().get("time_zone") or "UTC")


def build(
    settings: Settings,
    cutoffs: Iterable[datetime] | None = None,
    views: Iterable[View] = VIEWS,
    advance: Callable[[str, int], None] = lambda what, total: None,
) -> dict[str, Any]:
    """Build every (view, cutoff) that is not built from this lake yet; remove those of other lake contents.

    `advance(what, total)` is told after each snapshot. Returns {"cutoffs", "built", "kept", "removed",
    "rows"}. Raises LakeError without order lines, FeatureError for a cutoff before the first order or one
    that is no midnight (snapshots are named by their day).
    """
    lake = Lake(settings.lake)
    engine = connect(settings)
    try:
        staged = stage(engine, lake, settings.home / "tmp" / "staged", time_zone(settings, lake))
        first, last = moments.span(staged)
        asked = moments.midnights(
            cutoffs or moments.rolling(first, last, settings.cutoff_step_days, settings.max_cutoffs)
        )
        if asked[0] <= first:
            raise FeatureError(f"No order is before the cutoff {asked[0]:%Y-%m-%d}; the first is of {first}.")
        recent = asked if cutoffs else [each for each in asked if each >= asked[-1] - recent_span(settings)]
        wanted = [(view, cutoff) for view in views for cutoff in chosen(lake, view, asked, recent)]
        found = json.loads(index_path(settings).read_text()) if index_path(settings).is_file() else {}
        known = found.get("views", {})
        outcome = {"built": 0, "kept": 0, "rows": 0}
        for view, cutoff in wanted:
            entry = known.get(view.name, {}).get(f"{cutoff:%Y-%m-%d}")
            if (
                entry
                and entry["hash"] == input_hash(settings, lake, view)
                and folder(settings, view.name, cutoff).is_dir()
            ):
                outcome["kept"] += 1
            else:
                entry = write(settings, engine, staged, view, cutoff) | {
                    "hash": input_hash(settings, lake, view)
                }
                known.setdefault(view.name, {})[f"{cutoff:%Y-%m-%d}"] = entry
                outcome["built"] += 1
                publish_json(index_path(settings), {"lake": found.get("lake"), "views": known})
            outcome["rows"] += entry["rows"]
            advance(f"{view.name} {cutoff:%Y-%m-%d}", len(wanted))
    finally:
        engine.disconnect()
    removed = forget_stale(settings, lake, known, {view.name: view for view in views})
    publish_json(index_path(settings), {"lake": lake.hash(*TABLES), "views": known})
    return {"cutoffs": [f"{cutoff:%Y-%m-%d}" for cutoff in asked], **outcome, "removed": removed}


def recent_span(settings: Settings) -> timedelta:
    """How far back `recent` views are built: three windows, each begun on a cutoff.

    The last tests a recommender, the one before it chooses, and from the first the ranker learns.
    """
    steps = -(-settings.test_window_days // settings.cutoff_step_days)
    return timedelta(days=3 * steps * settings.cutoff_step_days)


def chosen(lake: Lake, view: View, asked: list[datetime], recent: list[datetime]) -> list[datetime]:
    """The cutoffs that a view is built at: all, the recent ones, or the newest alone.

    The recent ones also where the lake has none of its tables: an empty view has nothing to learn from.
    """
    if not view.historical:
        return asked[-1:]
    return recent if view.recent or not any(lake.files(each) for each in view.tables) else asked


def write(
    settings: Settings, engine: Backend, staged: Staged, view: View, cutoff: datetime
) -> dict[str, Any]:
    """Compute one snapshot and publish it."""
    import ibis
    import pyarrow.parquet as pq

    created = datetime.now(UTC)
    expression = view.snapshot(staged, int(cutoff.timestamp())).mutate(
        event_timestamp=ibis.literal(cutoff, type="timestamp('UTC', 6)"),
        created=ibis.literal(created, type="timestamp('UTC', 6)"),
    )
    with publish_folder(folder(settings, view.name, cutoff)) as aside:
        expression.order_by(view.key).to_parquet(aside / "part.parquet")
        rows = pq.read_metadata(aside / "part.parquet").num_rows
    return {"rows": rows, "created": created.isoformat()}


def forget_stale(settings: Settings, lake: Lake, known: dict[str, Any], views: dict[str, View]) -> int:
    """Remove snapshots of the given views that were built from another lake content or another expression,
    and folders that a broken build left; returns how many snapshots."""
    removed = 0
    for name, entries in known.items():
        for cutoff in [each for each in entries if name in views]:
            if entries[cutoff]["hash"] != input_hash(settings, lake, views[name]):
                shutil.rmtree(folder(settings, name, cutoff), ignore_errors=True)
                del entries[cutoff]
                removed += 1
        kept = {folder(settings, name, cutoff) for cutoff in entries}
        for path in (settings.features / name).glob("*") if name in views else ():
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)
    return removed


def data_hash(settings: Settings) -> str:
    """Hash of all inputs of all snapshots: what a manifest says that a model was fitted on."""
    entries = index(settings)["views"]
    hashes = sorted(
        f"{view} {cutoff} {each['hash']}" for view, built in entries.items() for cutoff, each in built.items()
    )
    return hashlib.sha256(" ".join([Lake(settings.lake).hash(), *hashes]).encode()).hexdigest()

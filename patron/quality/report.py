"""The report on every source: made by `patron quality` and by training, stored, shown by `patron status`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from patron.files import publish_json
from patron.lake.tables import Lake
from patron.quality import completeness, duplicates, freshness, imports, outliers, volume
from patron.quality.tables import Source, opened
from patron.settings import Settings


def quality(settings: Settings) -> dict[str, Any]:
    """Check every table of the lake and store the report, `reports/quality.json`.

    Returns {"computed_at", "now", "lake", "tables", "imports", "alarms", "notes", "seconds"}; an alarm is
    {"table", "check", "text"}. One pass of aggregates a check, within the settings' memory and threads.
    """
    began, lake = time.perf_counter(), Lake(settings.lake)
    with opened(settings, lake) as sources:
        now = moment(settings, sources)
        tables = {each.table: checked(each, now) for each in sources}
    found: dict[str, Any] = {
        "computed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "now": now.isoformat(),
        "lake": lake.hash(),
        "tables": tables,
        "imports": imports.imports(settings.reports),
    }
    found |= {"alarms": list(alarms(found)), "notes": list(notes(found))}
    found["seconds"] = round(time.perf_counter() - began, 2)
    publish_json(path(settings), found)
    return found


def current(settings: Settings) -> dict[str, Any]:
    """The stored report where it is of today and of this lake, else a new one."""
    found = stored(settings)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    if found and found["lake"] == Lake(settings.lake).hash() and found["computed_at"].startswith(today):
        return found
    return quality(settings)


def stored(settings: Settings) -> dict[str, Any] | None:
    """The report that was computed last; None where there is none."""
    if not path(settings).is_file():
        return None
    found: dict[str, Any] = json.loads(path(settings).read_text(encoding="utf-8"))
    return found


def path(settings: Settings) -> Path:
    return settings.reports / "quality.json"


def moment(settings: Settings, sources: list[Source]) -> datetime:
    """Now: the real time, or with `clock = "data"` the newest row of all."""
    newest = [each.newest for each in sources if each.newest is not None]
    return max(newest) if settings.clock == "data" and newest else datetime.now(UTC)


def checked(source: Source, now: datetime) -> dict[str, Any]:
    """Every check of one table."""
    return {
        "rows": source.rows,
        "imported_at": source.imported[-1].isoformat() if source.imported else None,
        "freshness": freshness.freshness(source, now),
        "completeness": completeness.completeness(source),
        "duplicates": duplicates.duplicates(source),
        "outliers": outliers.outliers(source),
        "volume": volume.volume(source, now),
    }


def alarms(found: dict[str, Any]) -> Iterator[dict[str, str]]:
    """What somebody should look at."""
    for table, each in found["tables"].items():
        for check in (freshness, duplicates, volume):
            name = check.__name__.rpartition(".")[2]
            if each[name] and each[name]["alarm"]:
                yield {"table": table, "check": name, "text": check.said(table, each[name])}
        for column, gap in each["completeness"].items():
            if gap.get("alarm"):
                yield {
                    "table": table,
                    "check": "completeness",
                    "text": completeness.said(table, column, gap),
                }
        for name, far in each["outliers"].items():
            if far["alarm"]:
                yield {"table": table, "check": "outliers", "text": outliers.said(table, name, far)}
    for table, each in found["imports"].items():
        if each["alarm"]:
            yield {"table": table, "check": "imports", "text": imports.said(table, each)}


def notes(found: dict[str, Any]) -> Iterator[str]:
    """What is good to know and no alarm."""
    for table, each in found["tables"].items():
        for column, gap in each["completeness"].items():
            if gap.get("fell"):
                yield completeness.fell(table, column, gap)
        if weeks := (each["volume"] or {}).get("unusual"):
            yield f"{table}: unlike the weeks before them were those of {', '.join(weeks)}"
        if several := each["duplicates"].get("orders_of_several_customers"):
            yield f"{table}: {several:,} order ids stand for orders of several customers"

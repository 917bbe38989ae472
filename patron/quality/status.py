"""What `patron status` tells of quality: the stored report and the stored drift, nothing computed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from patron.files import publish_json
from patron.lake.tables import Lake
from patron.quality.report import stored
from patron.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

DRIFT = "drift.json"


def keep_drift(settings: Settings, found: dict[str, dict[str, Any] | None]) -> None:
    """Store the drift of models by their registered names (`drift.drift_of`), for the status."""
    known = {name: each for name, each in found.items() if each is not None}
    publish_json(settings.reports / DRIFT, {"computed_at": now().isoformat(), "models": known})


def status(settings: Settings) -> dict[str, Any]:
    """{"sources", "drift"}: each None where nothing was computed, else its age in days and its alarms."""
    return {"sources": sources(settings), "drift": drift(settings)}


def sources(settings: Settings) -> dict[str, Any] | None:
    found = stored(settings)
    if found is None:
        return None
    return {
        "computed_at": found["computed_at"],
        "age_days": age(found["computed_at"]),
        "of_this_lake": found["lake"] == Lake(settings.lake).hash(),
        "alarms": [each["text"] for each in found["alarms"]],
    }


def drift(settings: Settings) -> dict[str, Any] | None:
    path = settings.reports / DRIFT
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    models = found["models"]
    return {
        "computed_at": found["computed_at"],
        "age_days": age(found["computed_at"]),
        "max_psi": {name: each["max_psi"] for name, each in models.items()},
        "alarms": [f"{name}: {text}" for name, each in models.items() for text in each["alarms"]],
    }


def age(moment: str) -> float:
    return round((now() - datetime.fromisoformat(moment)).total_seconds() / 86_400, 1)


def now() -> datetime:
    return datetime.now(UTC)


def show(found: dict[str, Any], out: Console) -> None:
    """A line or two on each, and the alarms."""
    checked, moved = found["sources"], found["drift"]
    out.print(f"Quality: {told(checked, 'never checked: patron quality')}{older(checked)}")
    out.print(f"Drift: {told(moved, 'not known: patron score')}")
    for each in (checked, moved):
        for text in each["alarms"] if each else ():
            out.print(f"  Alarm: {text}", markup=False, style="bold red")


def told(found: dict[str, Any] | None, instead: str) -> str:
    if found is None:
        return instead
    count = len(found["alarms"])
    alarms = "no alarm" if not count else "1 alarm" if count == 1 else f"{count} alarms"
    return f"{alarms}, looked at {found['computed_at'][:16]}, {found['age_days']} days ago"


def older(found: dict[str, Any] | None) -> str:
    return "" if found is None or found["of_this_lake"] else ", of an older lake: run patron quality"

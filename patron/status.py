"""What stands where: the lake and its sources, features, the online store, champions, scores, keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from patron import console
from patron.artifacts import NAMES, champion
from patron.decisions.standing import standing
from patron.errors import ArtifactError
from patron.events.outcomes import by_placement
from patron.lake.contract import TABLES
from patron.lake.tables import Lake
from patron.quality import status as quality
from patron.settings import Settings


def status(settings: Settings) -> dict[str, Any]:
    """One document about this home. Nothing is opened that would take long, nothing is changed."""
    lake = Lake(settings.lake)
    facts = lake.facts()
    return {
        "home": str(settings.home),
        "lake": {
            "currency": facts["currency"],
            "sources": facts["sources"],
            "rows": {table: lake.rows(table) for table in lake.tables()},
            "missing": [table for table in TABLES if table not in lake.tables()],
        },
        "features": features(settings, lake),
        "online": stored(settings.online / "loaded.json"),
        "models": {name: model(settings, name) for name in NAMES},
        "storefront": by_placement(settings.events),
        "decisions": standing(settings.events),
        "scores": written(settings.reports / "scores.parquet"),
        "quality": quality.status(settings),
        "clients": clients(settings.home / "keys.json"),
    }


def features(settings: Settings, lake: Lake) -> dict[str, Any] | None:
    """Cutoffs that are built, and whether the lake has changed since."""
    index = stored(settings.features / "snapshots.json")
    if index is None:
        return None
    cutoffs = sorted({cutoff for view in index["views"].values() for cutoff in view})
    fresh = index.get("lake") == lake.hash("order_lines", "products", "customers")
    return {"views": len(index["views"]), "cutoffs": len(cutoffs), "newest": cutoffs[-1], "fresh": fresh}


def model(settings: Settings, name: str) -> dict[str, Any]:
    """The champion that serving would load, verified; or why there is none."""
    try:
        found = champion(settings.models, name)
    except ArtifactError as error:
        return {"ready": False, "detail": str(error)}
    age = datetime.now(UTC) - found.manifest.trained_at
    return {
        "ready": True,
        "version": found.version,
        "kind": found.manifest.parameters.get("kind"),
        "trained_at": found.manifest.trained_at.isoformat(timespec="seconds"),
        "cutoff": found.manifest.cutoff.date().isoformat(),
        "age_days": round(age.total_seconds() / 86_400, 1),
    }


def stored(path: Path) -> dict[str, Any] | None:
    """A JSON document; None where there is none."""
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def written(path: Path) -> str | None:
    """When a file was written last; None where there is none."""
    if not path.is_file():
        return None
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


def clients(path: Path) -> int:
    """How many live API keys there are."""
    found = stored(path)
    return len(found["keys"]) if found else 0


def show(found: dict[str, Any], out: Any) -> None:
    """The document as tables."""
    lake = found["lake"]
    sources = ", ".join(each["mapping"] for each in lake["sources"]) or "nothing imported"
    out.print(f"Home {found['home']}: {sources}, {lake['currency'] or 'no currency yet'}")
    out.print(console.table("Lake", ["table", "rows"], list(lake["rows"].items())))
    out.print(f"Missing sources: {', '.join(lake['missing']) or 'none'}")
    built = found["features"]
    if built:
        fresh = "of this lake" if built["fresh"] else "of an older lake: run patron features build"
        out.print(f"Features: {built['cutoffs']} cutoffs, newest {built['newest']}, {fresh}")
    else:
        out.print("Features: none. Build them: patron features build")
    online = found["online"]
    out.print(
        f"Online store: {'as of ' + online['as_of'][:10] if online else 'empty: patron features materialize'}"
    )
    columns = ["champion", "version", "kind", "cutoff", "trained at", "detail"]
    rows = [
        (name, *(each.get(key) for key in ("version", "kind", "cutoff", "trained_at", "detail")))
        for name, each in found["models"].items()
    ]
    out.print(console.table("Models", columns, rows))
    if found["storefront"]:
        out.print(storefront(found["storefront"]))
    if found["decisions"]:
        out.print(decisions(found["decisions"]))
    quality.show(found["quality"], out)
    out.print(f"Scores: {found['scores'] or 'none: patron score'}; API keys: {found['clients']}")


def storefront(rows: list[dict[str, Any]]) -> Any:
    """What was shown at each placement and what came of it."""
    columns = ["placement", "answers", "impressions", "clicked", "to basket", "bought", "fallback", "cost"]
    rates = ("click_rate", "cart_rate", "conversion_rate", "fallback_share", "relevance_cost")
    shown = [
        (each["placement"], each["answers"], each["impressions"], *(rate(each[name]) for name in rates))
        for each in rows
    ]
    return console.table("Storefront, last month", columns, shown)


def decisions(found: dict[str, Any]) -> Any:
    """What every offer has spent and holds, and how often it was shown and answered."""
    title = f"Offers: {found['made']:,} decisions, {found['with_offer']:,} with an offer"
    columns = ["offer", "spent", "held", "shown", "accepted", "declined"]
    return console.table(title, columns, [(name, *each.values()) for name, each in found["offers"].items()])


def rate(share: float | None) -> str:
    """A share as a table shows it."""
    return "" if share is None else f"{share:.4f}"

"""The report as people read it: on the terminal, and as a page beside a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from patron import console

if TYPE_CHECKING:
    from rich.console import Console

Row = list[Any]
SOURCES = [
    "table",
    "rows",
    "newest row",
    "silent days",
    "usual",
    "rows last week",
    "times usual",
    "same rows",
]
MISSING = ["column", "missing", "last 28 days", "usual at most"]
OUTLIERS = ["order lines: measure", "median", "low", "high", "lines beyond", "share", "last 28 days"]
IMPORTS = ["table", "imports", "read", "accepted", "duplicate", "quarantined", "skipped", "top reason"]


def show(found: dict[str, Any], out: Console) -> None:
    """Draw the report."""
    for title, columns, rows in sections(found):
        if rows:
            out.print(console.table(title, columns, rows))
    for each in found["notes"]:
        out.print(f"Note: {each}", markup=False)
    for each in found["alarms"]:
        out.print(f"Alarm: {each['text']}", markup=False, style="bold red")
    if not found["alarms"]:
        out.print("No alarm.")


def sections(found: dict[str, Any]) -> list[tuple[str, list[str], list[Row]]]:
    """(title, columns, rows) of every table of the report."""
    tables = found["tables"]
    return [
        (f"Sources, as of {found['now'][:16]}", SOURCES, [source(*each) for each in tables.items()]),
        ("Missing values", MISSING, [row for name, each in tables.items() for row in gaps(name, each)]),
        ("Outliers", OUTLIERS, [row for each in tables.values() for row in far(each)]),
        ("Imports", IMPORTS, [imported(*each) for each in found["imports"].items()]),
    ]


def source(table: str, found: dict[str, Any]) -> Row:
    fresh, volume = found["freshness"] or {}, found["volume"] or {}
    weeks = list(volume.get("weeks", {}).values())
    return [
        table,
        found["rows"],
        fresh.get("newest", "")[:16] or None,
        fresh.get("silent_days"),
        fresh.get("usual_days"),
        weeks[-1] if weeks else None,
        volume.get("change_last"),
        found["duplicates"]["identical_rows"],
    ]


def gaps(table: str, found: dict[str, Any]) -> list[Row]:
    """Columns that lack something, not everything: a column that a shop does not have is no news."""
    return [
        [
            f"{table}.{column}",
            percent(each["missing"]),
            percent(each.get("missing_last")),
            percent(min(1.0, each["usual"][1]) if each.get("usual") else None),
        ]
        for column, each in found["completeness"].items()
        if 0 < each["missing"] < 1 or each.get("alarm")
    ]


def far(found: dict[str, Any]) -> list[Row]:
    return [
        [
            name.replace("_", " ") + (" / own median" if name == "unit_price" else ""),
            *(each[part] for part in ("median", "low", "high", "lines")),
            percent(each["share"]),
            percent(each["share_last"]),
        ]
        for name, each in found["outliers"].items()
    ]


def imported(table: str, found: dict[str, Any]) -> Row:
    names = ("imports", "read", "accepted", "duplicate", "quarantined", "skipped")
    return [table, *(found[name] for name in names), next(iter(found["reasons"]), None)]


def percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.2%}"


def page(found: dict[str, Any], drift: Mapping[str, Any] | None) -> str:
    """The report and the drift of a model as Markdown."""
    lines = ["# Quality", "", *alarmed([each["text"] for each in found["alarms"]]), ""]
    for title, columns, rows in sections(found):
        if rows:
            lines += [f"## {title}", "", *grid(columns, rows), ""]
    if found["notes"]:
        lines += ["## Notes", "", *(f"- {each}" for each in found["notes"]), ""]
    if drift is not None:
        lines += ["## Drift since the fit", "", *alarmed(drift["alarms"]), ""]
        lines += grid(["feature", "PSI", "usual up to", "against", "change"], moved(drift))
    return "\n".join(lines).rstrip() + "\n"


def moved(drift: Mapping[str, Any]) -> list[Row]:
    """Features and scores, those furthest beyond what is usual first."""
    return [
        [each["name"], each["psi"], each["threshold"], each["against"], each["change"]]
        for part in ("scores", "features")
        for each in drift.get(part, [])
    ]


def alarmed(texts: Sequence[str]) -> list[str]:
    return [f"- **{each}**" for each in texts] or ["No alarm."]


def grid(columns: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """A Markdown table."""
    drawn = [[console.cell(value).replace("|", "/") for value in row] for row in rows]
    return [
        f"| {' | '.join(columns)} |",
        f"|{' --- |' * len(columns)}",
        *(f"| {' | '.join(row)} |" for row in drawn),
    ]

"""Imports: what became of the rows that were read, by the reports that imports leave."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from patron.quality.tables import written
from patron.quality.usual import bounds, share_noise

KEPT = 200
"""Newest reports that are read."""

TOO_MANY = 0.05
"""Share of quarantined rows that is an alarm while there are too few imports to know what is usual."""


def imports(reports: Path) -> dict[str, Any]:
    """Table -> its imports' totals, the last of them, and the reasons of the quarantine."""
    seen: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(reports.glob("import-*.json"))[-KEPT:]:
        report = json.loads(path.read_text(encoding="utf-8"))
        moment = written(report["import_id"])
        for table, counts in report["tables"].items():
            entry = accounted(counts) | {"mapping": report["mapping"], "at": moment and moment.isoformat()}
            seen.setdefault(table, []).append(entry)
    return {table: summed(entries) for table, entries in sorted(seen.items())}


def accounted(counts: dict[str, Any]) -> dict[str, Any]:
    """The counts of one table in one import."""
    return {
        "read": counts["read"],
        "accepted": counts["accepted"],
        "duplicate": counts["duplicate"],
        "quarantined": sum(counts["quarantined"].values()),
        "skipped": sum(counts["skipped"].values()),
        "reasons": counts["quarantined"],
    }


def summed(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Totals of a table. The last import is judged by those before it by the same mapping."""
    *past, last = entries
    same = [each for each in past if each["mapping"] == last["mapping"] and each["read"]]
    reasons: Counter[str] = Counter()
    for each in entries:
        reasons.update(each["reasons"])
    share, usual = quarantined(last), most_usual(same, last)
    names = ("read", "accepted", "duplicate", "quarantined", "skipped")
    return {
        "imports": len(entries),
        **{name: sum(each[name] for each in entries) for name in names},
        "reasons": dict(reasons.most_common(10)),
        "last": {name: each for name, each in last.items() if name != "reasons"},
        "quarantined_last": share,
        "usual": usual,
        "alarm": share > usual,
    }


def quarantined(entry: dict[str, Any]) -> float:
    return float(entry["quarantined"] / max(entry["read"], 1))


def most_usual(past: list[dict[str, Any]], last: dict[str, Any]) -> float:
    """The largest share of quarantined rows that is usual."""
    shares = [quarantined(each) for each in past]
    usual = bounds(shares, share_noise(max(shares, default=0.0), last["read"]))
    return TOO_MANY if usual is None else usual[1]


def said(table: str, found: dict[str, Any]) -> str:
    return (
        f"{table}: {found['quarantined_last']:.1%} of the rows of the last import were quarantined, usual is "
        f"at most {found['usual']:.1%}; the most frequent reason: {next(iter(found['reasons']), 'none')}"
    )

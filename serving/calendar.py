"""`patron calendar`: the days ahead: what is due, who is expected, whose day it is.

| kind | tells | needs |
| --- | --- | --- |
| replenishment | products that are due on the day | consent_recommend |
| replenishment_overdue | products that were due before the first day | consent_recommend |
| next_order | the day by which half of such customers have ordered | consent_recommend |
| overdue | an order that was expected before the first day and has not come | consent_recommend |
| birthday | the customer's | consent_offers |
| anniversary | of the first order | consent_offers |
| ticket_closed | a ticket was closed, and nothing is known against it | consent_offers |

What is overdue stands on the first day; overdue for longer than the calendar is long, it stood in those
before and is not told again. Birthdays, anniversaries and thanks are occasions to give something, so they
need the consent to offers; the other kinds follow from what a customer bought, so they need the consent to
recommendations. A consent that nobody gave or refused counts as given, as everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patron.errors import PatronError, UsageError
from patron.settings import Settings
from serving.batch import CHUNK, FORMATS, built, writer
from serving.bootstrap import Served, open_models
from serving.occasions import KINDS, REFERENCES, Calendar, Entry, closed_tickets, refusing
from serving.score_columns import CHURN, REPLENISHMENT

if TYPE_CHECKING:
    import pyarrow as pa

    from features.rows import Rows

MODELS = (CHURN, REPLENISHMENT)
TOLD = ("kind", "text", "probability", "within_days", "product_id", "title")


def schema() -> pa.Schema:
    """Names and types of all columns, in their order in the file."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        {
            "customer_id": text,
            "date": pa.date32(),
            "kind": text,
            "text": text,
            "probability": pa.float64(),
            "within_days": pa.int64(),
            "product_id": text,
            "title": text,
            "features_as_of": pa.timestamp("us", "UTC"),
        }
    )


def care_calendar(settings: Settings, to: Path | None = None, days: int = 14) -> dict[str, Any]:
    """Write the coming `days` into a Parquet or CSV file, one row a (customer, date, kind), by date.

    The file appears whole or not at all. Returns {"path", "from", "until", "rows", "customers", "kinds",
    "refused", "missing", "features_as_of"}; `refused` counts the customers who withhold a consent. Raises
    UsageError for another suffix, FeatureError without a snapshot.
    """
    path = to or settings.reports / "calendar.parquet"
    if path.suffix not in FORMATS:
        raise UsageError(f"{path.name} has no suffix of {', '.join(FORMATS)}; it says how to write the file.")
    rows, models = read(settings)
    now = clock(settings, rows.as_of)
    found = Calendar(models, now.date(), days, closed_tickets(settings, now))
    entries = sorted(found.entries(rows), key=lambda each: (each[1].day, each[0], each[1].kind))
    with writer(path, schema()) as write:
        for start in range(0, max(len(entries), 1), CHUNK):
            write(columns(entries[start : start + CHUNK], rows.as_of))
    return {
        "path": str(path),
        "from": found.first.isoformat(),
        "until": found.last.isoformat(),
        "rows": len(entries),
        "customers": len({name for name, _ in entries}),
        "kinds": dict(Counter(each.kind for _, each in entries).most_common()),
        "refused": {name: int(refusing(rows, name).sum()) for name in sorted(set(KINDS.values()))},
        "missing": [name for name in MODELS if name not in models],
        "features_as_of": rows.as_of,
    }


def read(settings: Settings) -> tuple[Rows, Mapping[str, Served]]:
    """Every customer of the newest snapshot, and the models that are promoted."""
    from features.offline import latest, newest_cutoff

    offered = built(settings, newest_cutoff(settings))
    missing: dict[str, PatronError] = {}
    models = open_models(settings, offered, missing, MODELS)
    wanted = [each for each in REFERENCES if each in offered]
    for served in models.values():
        wanted += served.model.references
    return latest(settings, list(dict.fromkeys(wanted))), models


def clock(settings: Settings, as_of: datetime | None) -> datetime:
    """Now, by the clock that the settings name; its day is the first of the calendar."""
    return as_of if settings.clock == "data" and as_of else datetime.now(UTC)


def columns(entries: list[tuple[str, Entry]], as_of: datetime | None) -> dict[str, list[Any]]:
    """The entries as columns of the schema."""
    found: dict[str, list[Any]] = {
        name: [getattr(each, attribute) for _, each in entries]
        for name, attribute in (("date", "day"), *((name, name) for name in TOLD))
    }
    return found | {
        "customer_id": [name for name, _ in entries],
        "features_as_of": [as_of] * len(entries),
    }

"""`patron calendar`: the days ahead: what is due, who is expected, whose day it is.

| kind | tells | needs |
| --- | --- | --- |
| replenishment | products that are due on the day | consent_recommend |
| replenishment_overdue | products that were due before the first day | consent_recommend |
| next_order | the day by which half of such customers have ordered | consent_recommend |
| overdue | an order that was expected before the first day and has not come | consent_recommend |
| birthday | the customer's | consent_offers |
| anniversary | of the first order | consent_offers |

What is overdue stands on the first day; overdue for longer than the calendar is long, it stood in those
before and is not told again. Birthdays and anniversaries are occasions to give something, so they need the
consent to offers; the other kinds follow from what a customer bought, so they need the consent to
recommendations. A consent that nobody gave or refused counts as given, as everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patron.errors import PatronError, UsageError
from patron.models.base import DAY
from patron.models.replenishment import spell
from patron.settings import Settings
from serving.batch import CHUNK, FORMATS, built, writer
from serving.bootstrap import Served, open_models
from serving.score_columns import CHURN, REPLENISHMENT

if TYPE_CHECKING:
    import pyarrow as pa

    from features.rows import Rows

MODELS = (CHURN, REPLENISHMENT)
ALSO = (
    "customer_activity:first_order_at",
    *("customer_activity:recency_days", "customer_activity:purchase_days"),
    *("customer_profile:birthday", "customer_profile:consent_recommend", "customer_profile:consent_offers"),
)
KINDS = {
    "replenishment": "consent_recommend",
    "replenishment_overdue": "consent_recommend",
    "next_order": "consent_recommend",
    "overdue": "consent_recommend",
    "birthday": "consent_offers",
    "anniversary": "consent_offers",
}
"""Kind of a row -> the consent without which it is not written."""
PRODUCTS = 5
"""Products told of a customer, at most."""
TOLD = ("kind", "text", "probability", "within_days", "product_id", "title")
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Entry:
    """A row of the calendar. `probability`: of a purchase within `within_days`, None for other days."""

    customer: int
    day: date
    kind: str
    text: str
    probability: float | None = None
    within_days: int | None = None
    product_id: str | None = None
    title: str | None = None


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
    found = Calendar(models, today(settings, rows.as_of), days)
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
    wanted = [each for each in ALSO if each in offered]
    for served in models.values():
        wanted += served.model.references
    return latest(settings, list(dict.fromkeys(wanted))), models


def today(settings: Settings, as_of: datetime | None) -> date:
    """The first day of the calendar: by the clock that the settings name."""
    now = as_of if settings.clock == "data" and as_of else datetime.now(UTC)
    return now.date()


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


def refusing(rows: Rows, consent: str) -> NDArray[np.bool_]:
    """Who withholds a consent."""
    given = rows.columns.get(consent)
    if given is None:
        return np.zeros(len(rows), dtype=bool)
    return np.array([each is False for each in given], dtype=bool)


class Calendar:
    """The days from `first` to before `last`, told for rows of customers."""

    def __init__(self, models: Mapping[str, Served], first: date, days: int) -> None:
        self.models, self.first, self.days = models, first, days
        self.last = first + timedelta(days=days)

    def entries(self, rows: Rows) -> Iterator[tuple[str, Entry]]:
        """(customer id, entry) of everything that may be told."""
        refused = {consent: refusing(rows, consent) for consent in set(KINDS.values())}
        for tell in (self.products, self.orders, self.birthdays, self.anniversaries):
            for each in tell(rows):
                if not refused[KINDS[each.kind]][each.customer]:
                    yield rows.ids[each.customer], each

    def age(self, rows: Rows) -> int:
        """Days from the moment of the features to the first day."""
        return (self.first - rows.as_of.date()).days if rows.as_of else 0

    def products(self, rows: Rows) -> Iterator[Entry]:
        """Products that are due, or were in as many days before the first: one row for all of a day."""
        if REPLENISHMENT not in self.models:
            return
        model = self.models[REPLENISHMENT].model
        found = model.table(rows.columns, PRODUCTS)
        found = replace(found, due_in_days=found.due_in_days - self.age(rows))
        place, within = enough(model.config.days, self.days)
        texts = found.texts()
        told: dict[tuple[int, date, str], Entry] = {}
        for row, due in enumerate(np.round(found.due_in_days).astype(int).tolist()):
            if not -self.days <= due < self.days:
                continue
            kind = "replenishment" if due >= 0 else "replenishment_overdue"
            key = (int(found.customer[row]), self.first + timedelta(days=max(due, 0)), kind)
            if key in told:
                told[key] = replace(told[key], text=f"{told[key].text}; {texts[row]}")
                continue
            told[key] = Entry(
                *key,
                text=texts[row],
                probability=float(found.probability[row, place]),
                within_days=within,
                product_id=str(found.product_ids[row]),
                title=str(found.titles[row]) or None,
            )
        yield from told.values()

    def orders(self, rows: Rows) -> Iterator[Entry]:
        """Orders that are expected, or were in as many days before the first, of customers with a rhythm."""
        if CHURN not in self.models or not len(rows):
            return
        model = self.models[CHURN].model
        known = dict(rows.columns) | {"recency_days": rows.columns["recency_days"] + self.age(rows)}
        rhythm = (model.statuses(known) == "scored") & (known["purchase_days"] >= 2)
        usual = model.waiting.remaining(known | {"recency_days": np.zeros(len(rows))})
        late = np.round(known["recency_days"] - usual)
        ahead = np.round(model.waiting.remaining(known))
        chance = model.waiting.order_within(known, self.days)
        overdue = rhythm & (late > 0) & (late <= self.days)
        for row in np.flatnonzero(overdue | (rhythm & (ahead < self.days))).tolist():
            gap = f"usually after {spell(max(round(usual[row]), 1))}"
            if overdue[row]:
                day, kind = self.first, "overdue"
                text = f"an order was expected {spell(int(late[row]))} ago: {gap}"
            else:
                day, kind = self.first + timedelta(days=int(ahead[row])), "next_order"
                text = f"an order is expected {soon(int(ahead[row]))}: {gap}"
            yield Entry(row, day, kind, text, float(chance[row]), self.days)

    def birthdays(self, rows: Rows) -> Iterator[Entry]:
        for row, day, _ in self.returning(rows.columns.get("birthday")):
            yield Entry(row, day, "birthday", "birthday")

    def anniversaries(self, rows: Rows) -> Iterator[Entry]:
        for row, day, years in self.returning(rows.columns.get("first_order_at")):
            if years > 0:
                since = "a year" if years == 1 else f"{years} years"
                yield Entry(row, day, "anniversary", f"{since} since the first order")

    def returning(self, moments: NDArray[np.float64] | None) -> Iterator[tuple[int, date, int]]:
        """(row, day, years) of the days of the calendar on which a moment in epoch seconds returns."""
        if moments is None:
            return
        years = {self.first.year, self.last.year}
        for row in np.flatnonzero(~np.isnan(moments)).tolist():
            born = EPOCH + timedelta(days=int(moments[row] // DAY))
            for year in years:
                day = in_year(born, year)
                if self.first <= day < self.last:
                    yield row, day, year - born.year


def in_year(day: date, year: int) -> date:
    """The same day in another year; 29 February is the 28th where there is none."""
    try:
        return day.replace(year=year)
    except ValueError:
        return day.replace(year=year, day=28)


def enough(known: tuple[int, ...], days: int) -> tuple[int, int]:
    """(place, days) of the shortest of the known that is at least `days`; else of the longest."""
    longer = [each for each in known if each >= days]
    chosen = min(longer) if longer else max(known)
    return known.index(chosen), chosen


def soon(days: int) -> str:
    return "today" if days == 0 else f"in {spell(days)}"

"""The days of customers: what is due, who is expected, whose day it is, from rows of features.

A day is told only with the consent that its kind needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patron.lake.tables import Lake
from patron.models.base import DAY
from patron.models.replenishment import spell
from patron.settings import Settings
from serving.bootstrap import Served
from serving.score_columns import CHURN, REPLENISHMENT

if TYPE_CHECKING:
    from features.rows import Rows

KINDS = {
    "replenishment": "consent_recommend",
    "replenishment_overdue": "consent_recommend",
    "next_order": "consent_recommend",
    "overdue": "consent_recommend",
    "birthday": "consent_offers",
    "anniversary": "consent_offers",
    "ticket_closed": "consent_offers",
}
"""Kind of a row -> the consent without which it is not written."""
PRODUCTS = 5
"""Products told of a customer, at most."""
ACTS = (
    "ticket_closed",
    "birthday",
    "anniversary",
    "overdue",
    "replenishment_overdue",
    "replenishment",
)
"""Kinds that somebody can act on, the first of a day first. An order that is only expected needs no act."""
REFERENCES = (
    "customer_activity:first_order_at",
    *("customer_activity:recency_days", "customer_activity:purchase_days"),
    *("customer_profile:birthday", "customer_profile:consent_recommend", "customer_profile:consent_offers"),
)
"""What is read beside what the models read."""
THANKED_DAYS = 3
"""How long after a ticket was closed its customer is thanked."""
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


def refusing(rows: Rows, consent: str) -> NDArray[np.bool_]:
    """Who withholds a consent."""
    given = rows.columns.get(consent)
    if given is None:
        return np.zeros(len(rows), dtype=bool)
    return np.array([each is False for each in given], dtype=bool)


class Calendar:
    """The days from `first` to before `last`, told for rows of customers."""

    def __init__(
        self, models: Mapping[str, Served], first: date, days: int, closed: Mapping[str, date] | None = None
    ) -> None:
        """closed: customer -> day on which their last ticket was closed, as `closed_tickets` tells it."""
        self.models, self.first, self.days, self.closed = models, first, days, closed or {}
        self.last = first + timedelta(days=days)

    def entries(self, rows: Rows) -> Iterator[tuple[str, Entry]]:
        """(customer id, entry) of everything that may be told."""
        refused = {consent: refusing(rows, consent) for consent in set(KINDS.values())}
        for tell in (self.products, self.orders, self.birthdays, self.anniversaries, self.thanks):
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

    def thanks(self, rows: Rows) -> Iterator[Entry]:
        """On the day after a ticket was closed, or the first day where that lies before it."""
        for row, name in enumerate(rows.ids if self.closed else ()):
            closed = self.closed.get(name)
            day = closed and max(closed + timedelta(days=1), self.first)
            if closed and day and day < self.last and (day - closed).days <= THANKED_DAYS:
                yield Entry(row, day, "ticket_closed", f"a ticket was closed {ago((day - closed).days)}")

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


def ago(days: int) -> str:
    return "yesterday" if days == 1 else f"{spell(days)} ago"


def closed_tickets(settings: Settings, until: datetime) -> dict[str, date]:
    """Customer -> day of the last ticket that was closed before `until`, in the days that are thanked for.

    Left out: who was not satisfied with it, and who has another one open.
    """
    import pyarrow.parquet as pq

    since, found, left_out = until - timedelta(days=THANKED_DAYS + 1), dict[str, date](), set[str]()
    names = ["customer_id", "opened_at", "closed_at", "satisfied"]
    for path in Lake(settings.lake).files("tickets"):
        for each in pq.read_table(path, columns=names).to_pylist():
            who, closed = each["customer_id"], each["closed_at"]
            if closed is None or closed >= until:
                left_out |= {who} if each["opened_at"] < until else set()
            elif closed >= since:
                found[who] = max(found.get(who, closed.date()), closed.date())
                left_out |= {who} if each["satisfied"] is False else set()
    return {who: day for who, day in found.items() if who not in left_out}


def next_care(calendar: Calendar, rows: Rows) -> dict[str, list[Any]]:
    """The next act of care of each customer in the days of the calendar: its date, kind and reason."""
    chosen: dict[int, Entry] = {}
    for _, each in calendar.entries(rows):
        if each.kind in ACTS and order(each) < order(chosen.get(each.customer)):
            chosen[each.customer] = each
    entries = [chosen.get(row) for row in range(len(rows))]
    return {
        "next_care_date": [each and each.day for each in entries],
        "next_care_kind": [each and each.kind for each in entries],
        "next_care_reason": [each and each.text for each in entries],
    }


def order(entry: Entry | None) -> tuple[date, int]:
    """By day, then by what comes first on it; nothing comes last."""
    return (date.max, 0) if entry is None else (entry.day, ACTS.index(entry.kind))

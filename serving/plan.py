"""`patron plan`: whom to contact on a day, with what, through which channel: one row a customer.

An offer goes to whom it adds margin, an act of care to whom its occasion has come; nobody gets both. What an
act of care changes is mostly not known: it is made where nothing is known against it, and gives way to an
offer that adds margin. Terms, quiet days, contact limits, budgets and caps are those that endpoints keep to,
what was shown and spent so far included. A plan holds nothing; booked, each row is a decision in the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from patron.errors import PatronError, UsageError
from patron.experiments.assignment import FOLDER, Experiments
from patron.experiments.terms import OFFERS as TARGET
from patron.models.offers import OfferPolicy
from patron.offers.allocation import allocate
from patron.offers.catalogue import Catalogue
from patron.offers.terms import ContactRules
from patron.settings import Settings
from serving.batch import FORMATS, built, writer
from serving.best_offers import customers, permitted, references
from serving.bootstrap import Served, open_models
from serving.occasions import REFERENCES, Calendar, Entry, closed_tickets, order
from serving.planned import Contacts
from serving.score_columns import CHURN, OFFERS, REPLENISHMENT

if TYPE_CHECKING:
    import pyarrow as pa

    from features.rows import Rows

MODELS = (OFFERS, CHURN, REPLENISHMENT)
OCCASION_OF = {"replenishment_overdue": "replenishment"}
"""Kinds of the calendar that offers know by another name."""
CARE_VALUE = 1e-6
"""What an act of care counts whose effect nobody knows: less than any offer that adds margin."""
HOUR = timedelta(hours=1)


def schema() -> pa.Schema:
    """Names and types of all columns, in their order in the file."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    return pa.schema(
        {
            "date": pa.date32(),
            **dict.fromkeys(
                ("customer_id", "offer_id", "name", "kind", "channel", "occasion", "reason"), text
            ),
            **dict.fromkeys(("product_id", "title"), text),
            **dict.fromkeys(("expected_margin", "expected_uplift", "cost"), number),
            **dict.fromkeys(("segment", "decision_id"), text),
            "features_as_of": pa.timestamp("us", "UTC"),
        }
    )


@dataclass
class Plan:
    """The day of a plan and all that it is made of. Arrays have a row a customer and a column an offer."""

    settings: Settings
    rows: Rows
    policy: OfferPolicy
    catalogue: Catalogue
    calendar: Calendar
    now: datetime
    channels: Sequence[str]
    contacts: Contacts
    counts: Counter[str] = field(default_factory=Counter)
    """Why customers are left alone."""

    def acts(self, budget: float | None) -> list[dict[str, Any]]:
        """A row for each who is contacted, as the file has it; the greatest margin first."""
        offers, entries = self.catalogue.offers, self.entries()
        if not offers or not len(self.rows):
            return []
        whos = [
            replace(who, occasions=frozenset(entries.get(row, {})))
            for row, who in enumerate(customers(self.policy, self.rows))
        ]
        before, taken = self.contacts.before(self.catalogue, self.now)
        channel = self.channel(whos)
        booked = np.array([name in before for name in self.rows.ids])
        channel[booked] = -1
        worth = self.policy.worth(self.rows.columns, offers)
        value = worth.margin[:, 1:].copy()
        care = np.array([each.occasion is not None for each in offers])
        value[:, care] = np.where(np.isnan(value[:, care]), CARE_VALUE, value[:, care])
        value[(channel < 0) | self.withheld()[:, None]] = np.nan
        cost = np.tile([each.cost for each in offers], (len(value), 1))
        money, places = self.contacts.left(self.catalogue, self.now)
        rest = None if budget is None else max(budget - taken, 0.0)
        found = allocate(value, cost, rest, arm_budgets=money, arm_caps=places)
        self.counts.update(why(channel[~booked], value[~booked], found.chosen[~booked]))
        acts = []
        for row in np.flatnonzero(found.chosen >= 0).tolist():
            arm = int(found.chosen[row])
            told = self.policy.told(worth, row, arm + 1, 1.0, False)
            entry = entries.get(row, {}).get(offers[arm].occasion or "")
            reason = entry.text if entry else "; ".join(each.text for each in told.reasons)
            acts.append(self.act(row, arm, self.channels[channel[row, arm]], entry, reason, told, whos[row]))
        return sorted(acts, key=lambda each: (-(each["expected_margin"] or 0.0), each["customer_id"]))

    def act(
        self, row: int, arm: int, channel: str, entry: Entry | None, reason: str, told: Any, who: Any
    ) -> dict[str, Any]:
        offer = self.catalogue.offers[arm]
        return {
            "date": self.day,
            "customer_id": self.rows.ids[row],
            "offer_id": offer.offer_id,
            "name": offer.name or None,
            "kind": offer.kind,
            "channel": channel,
            "occasion": offer.occasion,
            "reason": reason,
            "product_id": entry and entry.product_id,
            "title": entry and entry.title,
            "expected_margin": told.expected_margin,
            "expected_uplift": told.expected_uplift,
            "cost": offer.cost,
            "segment": who.segment,
            "decision_id": None,
            "features_as_of": self.rows.as_of,
        }

    @property
    def day(self) -> date:
        return self.now.astimezone(ZoneInfo(self.catalogue.contacts.time_zone)).date()

    def entries(self) -> dict[int, dict[str, Entry]]:
        """Row -> occasion -> what the calendar says of it."""
        found: dict[int, dict[str, Entry]] = {}
        for _, each in sorted(self.calendar.entries(self.rows), key=lambda pair: acts_first(pair[1])):
            found.setdefault(each.customer, {}).setdefault(OCCASION_OF.get(each.kind, each.kind), each)
        return found

    def channel(self, whos: Sequence[Any]) -> NDArray[np.int64]:
        """Number of the first channel by which each offer may be made to each customer; -1 for none."""
        found = np.full((len(whos), len(self.catalogue.offers)), -1)
        for number in reversed(range(len(self.channels))):
            may = permitted(self.catalogue, whos, self.now, self.channels[number])
            may &= self.contacts.open_to(self.rows.ids, self.catalogue, self.channels[number], self.now)
            found[may] = number
        return found

    def withheld(self) -> NDArray[np.bool_]:
        """Whom an experiment treats otherwise: they are not the plan's to contact."""
        experiments = Experiments.load(self.settings.configs / FOLDER)
        found = [experiments.assigned(TARGET, name, self.now) for name in self.rows.ids]
        return np.array(
            [each is not None and each.parameters["policy"] != "champion" for each in found], bool
        )


def why(channel: NDArray[np.int64], value: NDArray[np.float64], chosen: NDArray[np.int64]) -> dict[str, int]:
    """How many are left alone, by the reason."""
    alone, may = chosen < 0, (channel >= 0).any(axis=1)
    worth = (np.nan_to_num(value, nan=-1.0) > 0).any(axis=1)
    return {
        "no_eligible_offer": int((alone & ~may).sum()),
        "no_uplift": int((alone & may & ~worth).sum()),
        "budget": int((alone & worth).sum()),
    }


def acts_first(entry: Entry) -> tuple[date, int]:
    """By day and kind; what nobody can act on comes last."""
    return (date.max, 0) if entry.kind == "next_order" else order(entry)


def day_plan(
    settings: Settings,
    to: Path | None = None,
    day: date | None = None,
    channels: Sequence[str] = (),
    budget: float | None = None,
    book: bool = False,
) -> dict[str, Any]:
    """Write the plan of a day, today by default, into a Parquet or CSV file that appears whole or not at all.

    channels: the first is preferred; by default those of the rules of contact. budget: of the day, over all
    offers. book: make every row a decision in the ledger; asked again on the same day, what was booked stays.
    Returns {"path", "date", "quiet", "rows", "booked", "offers", "channels", "left_alone", "cost",
    "expected_margin", "missing", "features_as_of"}. Raises UsageError for another suffix or a day that cannot
    be booked, NoChampion without a policy, FeatureError without a snapshot.
    """
    path = to or settings.reports / "plan.parquet"
    if path.suffix not in FORMATS:
        raise UsageError(f"{path.name} has no suffix of {', '.join(FORMATS)}; it says how to write the file.")
    with Contacts(settings) as contacts:
        plan, models = opened(settings, contacts, day, channels)
        quiet = plan.catalogue.quiet(plan.now)
        present = today(plan.catalogue.contacts, clock(settings, plan.rows))
        if plan.day < present:
            raise UsageError(f"{plan.day} is over: today is {present}. Plan today or a day ahead.")
        if book and plan.day != present:
            raise UsageError("Only the plan of today can be booked: leave --date out, or --book.")
        acts = [] if quiet else plan.acts(budget)
        if book and not quiet:
            acts = contacts.booked(acts, plan.catalogue, plan.now, models[OFFERS])
    with writer(path, schema()) as write:
        write({name: [each[name] for each in acts] for name in schema().names})
    return document(path, plan, acts, quiet, models, book)


def document(
    path: Path,
    plan: Plan,
    acts: Sequence[Mapping[str, Any]],
    quiet: str | None,
    models: Mapping[str, Served],
    book: bool,
) -> dict[str, Any]:
    """What the command tells."""
    margins = [each["expected_margin"] for each in acts if each["expected_margin"] is not None]
    return {
        "path": str(path),
        "date": plan.day.isoformat(),
        "quiet": quiet,
        "rows": len(acts),
        "booked": book,
        "offers": dict(Counter(each["offer_id"] for each in acts).most_common()),
        "channels": dict(Counter(each["channel"] for each in acts).most_common()),
        "left_alone": {code: count for code, count in plan.counts.items() if count},
        "cost": float(sum(each["cost"] for each in acts)),
        "expected_margin": float(sum(margins)),
        "missing": [name for name in MODELS if name not in models],
        "features_as_of": plan.rows.as_of,
    }


def opened(
    settings: Settings, contacts: Contacts, day: date | None, channels: Sequence[str]
) -> tuple[Plan, Mapping[str, Served]]:
    """The plan of a day, nothing decided yet, and the models that are promoted."""
    from features.offline import latest, newest_cutoff

    offered, missing = built(settings, newest_cutoff(settings)), dict[str, PatronError]()
    models = open_models(settings, offered, missing, MODELS)
    if OFFERS not in models:
        raise missing[OFFERS]
    policy: OfferPolicy = models[OFFERS].model
    catalogue = contacts.catalogue({each.offer_id: each.arm for each in policy.offers})
    wanted = [*REFERENCES, *policy.references, *references(catalogue.offers)]
    for served in models.values():
        wanted += served.model.references
    rows = latest(settings, [each for each in dict.fromkeys(wanted) if each in offered])
    now = moment(catalogue.contacts, day, clock(settings, rows))
    calendar = days_of(settings, models, catalogue.contacts, now)
    through = list(channels) or list(catalogue.contacts.channels) or ["email"]
    return Plan(settings, rows, policy, catalogue, calendar, now, through, contacts), models


def clock(settings: Settings, rows: Rows) -> datetime:
    """Now, by the clock that the settings name."""
    return rows.as_of if settings.clock == "data" and rows.as_of else datetime.now(UTC)


def today(contacts: ContactRules, now: datetime) -> date:
    return now.astimezone(ZoneInfo(contacts.time_zone)).date()


def moment(contacts: ContactRules, day: date | None, now: datetime) -> datetime:
    """When the day's contacts go out: now, or on another day at its first hour that is not quiet."""
    start = now
    if day is not None and day != today(contacts, now):
        start = datetime.combine(day, datetime.min.time(), ZoneInfo(contacts.time_zone)).astimezone(UTC)
    _, end = contacts.day(start)
    hours = [start + HOUR * number for number in range(24) if start + HOUR * number < end]
    return next((each for each in hours if contacts.quiet(each) is None), start)


def days_of(
    settings: Settings, models: Mapping[str, Served], contacts: ContactRules, now: datetime
) -> Calendar:
    """The day, and the quiet days right before it: whose birthday was on a Sunday is written to on Monday."""
    noon, back = now.astimezone(ZoneInfo(contacts.time_zone)).replace(hour=12), 0
    while back < 7 and contacts.quiet(noon - timedelta(days=back + 1)) == "quiet_day":
        back += 1
    first = noon.date() - timedelta(days=back)
    return Calendar(models, first, back + 1, closed_tickets(settings, now))

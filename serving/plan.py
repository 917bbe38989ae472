"""What `patron plan` chooses: whom to contact on a day, with what, through which channel.

An offer goes to whom it adds margin, an act of care to whom its occasion has come; nobody gets both. What an
act of care changes is mostly not known: it is made where nothing is known against it, and gives way to an
offer that adds margin. Terms, quiet days, contact limits, budgets and caps are those that endpoints keep to,
what was shown and spent so far included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from patron.experiments.assignment import FOLDER, Assignment, Experiments
from patron.experiments.terms import OFFERS as TARGET
from patron.models.offer_worth import Worth
from patron.models.offers import OfferPolicy
from patron.offers.allocation import allocate
from patron.offers.catalogue import Catalogue
from patron.settings import Settings
from serving.best_offers import customers, permitted
from serving.bootstrap import Served
from serving.occasions import Calendar, Entry, order, refusing
from serving.planned import Contacts, expose

if TYPE_CHECKING:
    from features.rows import Rows

OCCASION_OF = {"replenishment_overdue": "replenishment"}
"""Kinds of the calendar that offers know by another name."""
CARE_VALUE = 1e-6
"""What an act of care counts at least that is not known to lose margin: less than offers that add some."""


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

    tried: dict[str, Assignment] = field(default_factory=dict)
    """Those in an experiment to whom some offer may be made, whatever their arm."""

    def acts(self, budget: float | None) -> list[dict[str, Any]]:
        """A row for each who is planned, as the file has it; the greatest margin first.

        Among them those whom chance leaves alone for a while: `sent` and `booked` take them out.
        """
        offers, entries = self.catalogue.offers, self.entries()
        if not offers or not len(self.rows):
            return []
        whos = [
            replace(who, occasions=frozenset(entries.get(row, {})))
            for row, who in enumerate(customers(self.policy, self.rows))
        ]
        before, taken = self.contacts.before(self.catalogue, self.now)
        channel, booked = self.channel(whos), np.array([name in before for name in self.rows.ids])
        channel[booked] = -1
        withheld, resting = self.withheld(channel), self.resting()
        worth = self.policy.worth(self.rows.columns, offers)
        value = self.value(worth)
        value[(channel < 0) | (withheld | resting)[:, None]] = np.nan
        cost = np.tile([each.cost for each in offers], (len(value), 1))
        money, places = self.contacts.left(self.catalogue, self.now)
        rest = None if budget is None else max(budget - taken, 0.0)
        chosen = allocate(value, cost, rest, arm_budgets=money, arm_caps=places).chosen
        others = ~(booked | withheld | resting)
        self.counts.update(why(channel[others], value[others], chosen[others]))
        self.counts.update(experiment=int(withheld.sum()), control=int((resting & ~booked & ~withheld).sum()))
        acts = []
        for row in np.flatnonzero(chosen >= 0).tolist():
            arm = int(chosen[row])
            told = self.policy.told(worth, row, arm + 1, 1.0, False)
            entry = entries.get(row, {}).get(offers[arm].occasion or "")
            reason = entry.text if entry else "; ".join(each.text for each in told.reasons)
            acts.append(self.act(row, arm, self.channels[channel[row, arm]], entry, reason, told, whos[row]))
        return sorted(acts, key=lambda each: (-(each["expected_margin"] or 0.0), each["customer_id"]))

    def value(self, worth: Worth) -> NDArray[np.float64]:
        """Of each offer for each customer, NaN where unknown; an act of care that does no harm has some."""
        value = worth.margin[:, 1:].copy()
        care = np.array([each.occasion is not None for each in self.catalogue.offers])
        harmless = care & ~(value < 0)
        value[harmless] = np.fmax(value[harmless], CARE_VALUE)
        return value

    def sent(self, acts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows but for those whom chance leaves alone for a while."""
        kept = [each for each in acts if not self.policy.alone(each["customer_id"], self.now)]
        self.counts["control"] += len(acts) - len(kept)
        return kept

    def booked(self, acts: Sequence[dict[str, Any]], served: Served) -> list[dict[str, Any]]:
        """The rows that the ledger took. Hold `contacts.booking` from `acts` on."""
        expose(self.settings, self.tried, self.now)
        refused = refusing(self.rows, "consent_offers")
        willing = {name for name, no in zip(self.rows.ids, refused, strict=True) if not no}
        labels = {name: each.label for name, each in self.tried.items()}
        self.sent(acts)
        return self.contacts.booked(acts, self.catalogue, self.now, served, willing, labels)

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

    def withheld(self, channel: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whom an experiment treats otherwise: they are not the plan's to contact."""
        experiments = Experiments.load(self.settings.configs / FOLDER)
        names = np.array(self.rows.ids, dtype=object)[(channel >= 0).any(axis=1)]
        found = {name: experiments.assigned(TARGET, name, self.now) for name in names.tolist()}
        self.tried = {name: each for name, each in found.items() if each is not None}
        champion = {
            name for name, each in found.items() if not each or each.parameters["policy"] == "champion"
        }
        return np.array([name in found and name not in champion for name in self.rows.ids], dtype=bool)

    def resting(self) -> NDArray[np.bool_]:
        """Who is left alone, and was planned for it so lately that the outcome is still being counted: they
        would take the money and the places of others day by day."""
        lately = self.contacts.controls(self.now, self.policy.config.outcome_days)
        return np.array(
            [name in lately and self.policy.alone(name, self.now) for name in self.rows.ids], dtype=bool
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

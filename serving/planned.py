"""What a plan asks of the ledger: who may be contacted, what money is left, and to book what it chose."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from patron.decisions import purse
from patron.decisions.availability import split
from patron.decisions.ledger import Ledger, Refused, budgets_of
from patron.decisions.purse import Purse
from patron.decisions.records import Asked, Choice, Circumstances, Decided, Offered
from patron.decisions.schema import SCHEMA
from patron.events.database import alone as locked
from patron.events.event import written
from patron.events.log import EventLog
from patron.experiments.assignment import Assignment
from patron.experiments.exposures import ExposureLog
from patron.models.offers import OfferPolicy
from patron.offers.catalogue import Catalogue
from patron.offers.terms import NONE, OfferTerms
from patron.settings import Settings
from serving.bootstrap import Served
from serving.deciding import alone, control
from serving.live_offers import LiveOffers

Numbers = NDArray[np.float64]
BOOKED = 500
"""Customers that are booked in one transaction, so that no endpoint waits long."""
POLICY = "plan"
SHOWN = "select distinct customer_id from showings"
TAKEN = "select sum(cost) from showings join decisions using (decision_id) where idempotency_key = ?"
BEFORE = "select customer_id, channel from decisions where idempotency_key = ?"
CONTROLS = """
select distinct customer_id from decisions where occurred_at > ? and idempotency_key like ? and arm = ?
and propensity < 1
"""
FLUSHED = 10_000
"""Exposures that are written at once."""
LOCK = "plan.lock"
GONE = "the offer was no longer to be had when the plan was booked"


class Contacts:
    """The ledger beside the live catalogue, for one plan. Used as a context."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events = EventLog(settings.events)
        self.ledger = Ledger(settings.events, self.events)
        self.offers = LiveOffers(settings, self.events)
        self._empty: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()
        self.events.close()

    def catalogue(self, groups: Mapping[str, str]) -> Catalogue:
        """The offers as of now; what customers answered so far is booked first."""
        found = self.offers.catalogue(groups)
        self.ledger.catch_up(budgets_of(found))
        return found

    @property
    def connection(self) -> Any:
        """For reading the ledger; an empty one where nothing was ever decided."""
        found = self.ledger.file.reader()
        if found is not None:
            return found
        if self._empty is None:
            import apsw

            self._empty = apsw.Connection(":memory:")
            self._empty.execute(SCHEMA)
        return self._empty

    @contextmanager
    def booking(self) -> Iterator[None]:
        """One plan at a time, from what it chooses to what it booked: others wait."""
        self.settings.events.mkdir(parents=True, exist_ok=True)
        with locked(self.settings.events / LOCK):
            yield

    def open_to(
        self, ids: Sequence[str], catalogue: Catalogue, channel: str, now: datetime
    ) -> NDArray[np.bool_]:
        """Whether each offer may be made to each customer, by what was shown and spent so far."""
        shown = {name for (name,) in self.connection.execute(SHOWN)}
        nobody = self._open("", catalogue, channel, now)
        return np.array(
            [self._open(name, catalogue, channel, now) if name in shown else nobody for name in ids], bool
        ).reshape(len(ids), len(catalogue.offers))

    def _open(self, name: str, catalogue: Catalogue, channel: str, now: datetime) -> list[bool]:
        _, refused = split(self.connection, name, catalogue.offers, channel, now, catalogue)
        return [each.offer_id not in refused for each in catalogue.offers]

    def left(self, catalogue: Catalogue, now: datetime) -> tuple[Numbers, Numbers]:
        """Of each offer the money and the showings that are left, inf where there is no limit."""
        found = purse.left(self.connection, catalogue, now)
        money = [found.money.get(each.offer_id, np.inf) / 1e6 for each in catalogue.offers]
        places = [found.showings.get(each.offer_id, np.inf) for each in catalogue.offers]
        return np.maximum(np.array(money), 0), np.maximum(np.array(places, dtype=np.float64), 0)

    def before(self, catalogue: Catalogue, now: datetime) -> tuple[dict[str, str], float]:
        """(customer -> channel of what was booked for the day already, what it costs)."""
        key = (key_of(catalogue, now),)
        cost = self.connection.execute(TAKEN, key).get or 0
        return dict(self.connection.execute(BEFORE, key)), cost / 1e6

    def controls(self, now: datetime, days: float) -> set[str]:
        """Who was left alone to learn what plans bring, and booked so in the last `days`."""
        given = (written(now - timedelta(days=days)), f"{POLICY} %", NONE)
        return {name for (name,) in self.connection.execute(CONTROLS, given)}

    def booked(
        self,
        acts: Sequence[dict[str, Any]],
        catalogue: Catalogue,
        now: datetime,
        served: Served,
        willing: Container[str],
        labels: Mapping[str, str],
    ) -> list[dict[str, Any]]:
        """The rows that the ledger took, and those of earlier bookings of the day.

        Whom chance leaves alone for a while falls out, logged, so that it can be told what plans bring.
        willing: who agrees to offers still. labels: customer -> experiment and arm. Hold `booking` from the
        choice of `acts` on.
        """
        key, (before, _) = key_of(catalogue, now), self.before(catalogue, now)
        rows = {each["customer_id"]: each for each in acts if each["customer_id"] not in before}
        channels = {name: channel for name, channel in before.items() if name in willing}
        channels |= {name: each["channel"] for name, each in rows.items()}
        as_of, kept = acts[0]["features_as_of"] if acts else None, []
        for channel in dict.fromkeys(channels.values()):
            names = [name for name, each in channels.items() if each == channel]
            around = Circumstances(now, channel, f"{served.name}:{POLICY}", served.version, as_of)
            for start in range(0, len(names), BOOKED):
                part = names[start : start + BOOKED]
                asked = [question(name, rows.get(name), catalogue, key, labels.get(name)) for name in part]
                choose = Chosen([rows[name] for name in part if name in rows], served.model, now)
                decided = self.ledger.decide_all(asked, around, catalogue, choose)
                kept += [
                    row_of(*each, catalogue, around)
                    for each in zip(part, map(rows.get, part), decided, strict=True)
                ]
        return [each for each in kept if each is not None]


def expose(settings: Settings, tried: Mapping[str, Assignment], now: datetime) -> None:
    """Note that the plan asked about these customers, whatever it may do to those of an arm."""
    log = ExposureLog(settings.events)
    for place, (name, each) in enumerate(tried.items(), start=1):
        log.exposed(each, name, "customer", now)
        if place % FLUSHED == 0:
            log.flush()
    log.close()


def key_of(catalogue: Catalogue, now: datetime) -> str:
    """Of the day's plan: a customer is booked once."""
    return f"{POLICY} {catalogue.contacts.day(now)[0]:%Y-%m-%dT%H:%M}"


def question(
    name: str, row: Mapping[str, Any] | None, catalogue: Catalogue, key: str, label: str | None
) -> Asked:
    """Whether the planned offer may be made; of whom it was booked before nothing is asked anew."""
    terms = catalogue.of(row["offer_id"]) if row else None
    return Asked(name, [terms] if terms else [], idempotency_key=key, experiment=label)


class Chosen:
    """Gives the ledger what the plan chose for customers without a decision, where it may still be made."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], policy: OfferPolicy, now: datetime) -> None:
        self.rows, self.policy, self.now = rows, policy, now

    def __call__(self, found: Sequence[tuple[Sequence[OfferTerms], Refused]], left: Purse) -> list[Choice]:
        trial = Purse({**left.money}, {**left.showings})
        return [
            self.choice(row) if offers and trial.take(offers[0]) else alone("not_available", GONE)
            for row, (offers, _) in zip(self.rows, found, strict=True)
        ]

    def choice(self, row: Mapping[str, Any]) -> Choice:
        share = self.policy.config.left_alone
        arms = {NONE: share, row["offer_id"]: 1 - share}
        if self.policy.alone(row["customer_id"], self.now):
            return Choice([control(share)], arms)
        reasons = [{"code": row["occasion"] or "uplift", "text": row["reason"]}]
        told = row["expected_uplift"], row["expected_margin"], reasons
        return Choice([Offered(row["offer_id"], 1 - share, *told)], arms)


def row_of(
    name: str,
    row: Mapping[str, Any] | None,
    decided: Decided,
    catalogue: Catalogue,
    around: Circumstances,
) -> dict[str, Any] | None:
    """The file's row of a decision; None where nothing is shown."""
    offered = decided.shown[0].offered
    terms = catalogue.of(offered.offer_id)
    if terms is None:
        return None
    if row is not None and row["offer_id"] == offered.offer_id:
        return {**row, "decision_id": decided.decision_id}
    return {
        "date": around.now.astimezone(ZoneInfo(catalogue.contacts.time_zone)).date(),
        "customer_id": name,
        "offer_id": terms.offer_id,
        "name": terms.name or None,
        "kind": terms.kind,
        "channel": around.channel,
        "occasion": terms.occasion,
        "reason": "; ".join(each["text"] for each in offered.reasons),
        "product_id": None,
        "title": None,
        "expected_margin": offered.expected_margin,
        "expected_uplift": offered.expected_uplift,
        "cost": terms.cost,
        "segment": None,
        "decision_id": decided.decision_id,
        "features_as_of": decided.features_as_of,
    }

"""What a plan asks of the ledger: who may be contacted, what money is left, and to book what it chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.decisions import purse
from patron.decisions.availability import split
from patron.decisions.ledger import Ledger, Refused, budgets_of
from patron.decisions.purse import Purse
from patron.decisions.records import Asked, Choice, Circumstances, Decided, Offered
from patron.decisions.schema import SCHEMA
from patron.events.log import EventLog
from patron.experiments.assignment import FOLDER
from patron.experiments.exposures import ExposureLog
from patron.experiments.terms import OFFERS as TARGET
from patron.offers.catalogue import Catalogue
from patron.offers.terms import NONE, OfferTerms
from patron.settings import Settings
from serving.bootstrap import Served
from serving.live_offers import LiveOffers
from serving.trials import Trials

Numbers = NDArray[np.float64]
BOOKED = 500
"""Customers that are booked in one transaction, so that no endpoint waits long."""
POLICY = "plan"
SHOWN = "select distinct customer_id from showings"
TAKEN = "select sum(cost) from showings join decisions using (decision_id) where idempotency_key = ?"
BEFORE = "select customer_id, channel from decisions where idempotency_key = ?"


class Contacts:
    """The ledger beside the live catalogue, for one plan. Used as a context."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events = EventLog(settings.events)
        self.ledger = Ledger(settings.events, self.events)
        self.offers = LiveOffers(settings, self.events)
        self._connection: Any = None

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
        if self._connection is None:
            import apsw

            self._connection = self.ledger.file.reader()
            if self._connection is None:
                self._connection = apsw.Connection(":memory:")
                self._connection.execute(SCHEMA)
        return self._connection

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

    def booked(
        self,
        acts: Sequence[dict[str, Any]],
        catalogue: Catalogue,
        now: datetime,
        served: Served,
    ) -> list[dict[str, Any]]:
        """The rows that the ledger took, those of an earlier booking of the day among them.

        A share of customers is left alone at random and falls out, so that it can be told what plans bring.
        """
        key, (before, _) = key_of(catalogue, now), self.before(catalogue, now)
        rows = {each["customer_id"]: each for each in acts}
        by_channel: dict[str, list[str]] = {}
        for name, channel in [*before.items(), *((name, each["channel"]) for name, each in rows.items())]:
            by_channel.setdefault(channel, []).append(name)
        kept = []
        trials = Trials(self.settings.configs / FOLDER, ExposureLog(self.settings.events))
        for channel, names in by_channel.items():
            around = Circumstances(
                now,
                channel,
                f"{served.name}:{POLICY}",
                served.version,
                acts[0]["features_as_of"] if acts else None,
            )
            for start in range(0, len(names), BOOKED):
                part = names[start : start + BOOKED]
                asked = [question(name, rows.get(name), catalogue, key, trials, now) for name in part]
                choose = Chosen([rows.get(name) for name in part], served.model.config.epsilon)
                decided = self.ledger.decide_all(asked, around, catalogue, choose)
                kept += [
                    row_of(*each, catalogue, around)
                    for each in zip(part, map(rows.get, part), decided, strict=True)
                ]
        trials.close()
        return [each for each in kept if each is not None]


def key_of(catalogue: Catalogue, now: datetime) -> str:
    """Of the day's plan: a customer is booked once."""
    return f"{POLICY} {catalogue.contacts.day(now)[0]:%Y-%m-%dT%H:%M}"


def question(
    name: str,
    row: Mapping[str, Any] | None,
    catalogue: Catalogue,
    key: str,
    trials: Trials,
    now: datetime,
) -> Asked:
    """Whether the planned offer may be made; to whom it was booked before nothing is asked anew."""
    terms = catalogue.of(row["offer_id"]) if row else None
    arm = trials.treated(TARGET, name, None, now) if row else None
    return Asked(name, [terms] if terms else [], idempotency_key=key, experiment=arm.label if arm else None)


class Chosen:
    """Gives the ledger what the plan chose, where it may still be made."""

    def __init__(self, rows: Sequence[Mapping[str, Any] | None], holdout: float) -> None:
        self.rows = [each for each in rows if each is not None]
        self.holdout, self.rng = holdout, np.random.default_rng()

    def __call__(self, found: Sequence[tuple[Sequence[OfferTerms], Refused]], left: Purse) -> list[Choice]:
        trial = Purse({**left.money}, {**left.showings})
        return [
            self.choice(row) if offers and trial.take(offers[0]) else alone("not_available", 1.0)
            for row, (offers, _) in zip(self.rows, found, strict=True)
        ]

    def choice(self, row: Mapping[str, Any]) -> Choice:
        arms = {NONE: self.holdout, row["offer_id"]: 1 - self.holdout}
        if self.rng.random() < self.holdout:
            return replace(alone("control", self.holdout), propensities=arms)
        reasons = [{"code": row["occasion"] or "uplift", "text": row["reason"]}]
        told = row["expected_uplift"], row["expected_margin"], reasons
        return Choice([Offered(row["offer_id"], 1 - self.holdout, *told)], arms)


def alone(code: str, propensity: float) -> Choice:
    reasons = [{"code": code, "text": "left alone, to learn what plans bring"}]
    return Choice([Offered(NONE, propensity, 0.0, 0.0, reasons)], {NONE: propensity})


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
    if row is not None:
        return {**row, "decision_id": decided.decision_id}
    return {
        "date": around.now.date(),
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

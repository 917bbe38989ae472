"""A ledger beside an event log, and the shortest way to ask it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from patron.decisions.ledger import Ledger
from patron.decisions.records import Asked, Choice, Circumstances, Decided, Offered
from patron.events.event import Event
from patron.events.log import EventLog
from patron.offers.catalogue import Catalogue
from patron.offers.terms import ContactRules, OfferTerms

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def best(offers: Any) -> Choice:
    """The first offer that may be made, else none."""
    name = offers[0].offer_id if offers else "none"
    arms = ["none", *(each.offer_id for each in offers)]
    return Choice([Offered(name, 1.0)], {each: float(each == name) for each in arms})


def everything(offers: Any) -> Choice:
    """All offers that may be made."""
    names = [each.offer_id for each in offers] or ["none"]
    return Choice([Offered(each, 1.0 / len(names)) for each in names], dict.fromkeys(names, 1 / len(names)))


@dataclass
class Desk:
    """One process that decides, at a moment that the test sets."""

    folder: Path
    contacts: ContactRules = field(default_factory=ContactRules)
    offers: tuple[OfferTerms, ...] = ()
    now: datetime = NOW
    sent: int = 0

    def __post_init__(self) -> None:
        self.events = EventLog(self.folder)
        self.ledger = Ledger(self.folder, self.events)

    def has(self, **terms: Any) -> None:
        """Add an offer to the catalogue."""
        self.offers = (*self.offers, OfferTerms(**{"kind": "coupon", "cost": 10, **terms}))

    @property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.offers, self.contacts)

    def ask(
        self, customer: str = "ann", choose: Any = best, channel: str | None = None, key: str | None = None
    ) -> Decided:
        around = Circumstances(self.now, channel, "patron-offers", "3", NOW)
        return self.ledger.decide(
            Asked(customer, self.offers, idempotency_key=key), around, self.catalogue, choose
        )

    def offered(self, customer: str = "ann", **more: Any) -> list[str]:
        return [each.offered.offer_id for each in self.ask(customer, **more).shown]

    def answers(self, name: str, showing: str | None, **more: Any) -> None:
        """An event about a showing comes in; nobody is told."""
        self.sent += 1
        found = {"customer_id": "ann", "decision_id": showing, **more}
        self.events.append([Event(f"e{self.sent}", self.now, name, **found)])

    def account(self, offer_id: str = "coupon") -> dict[str, float]:
        self.ledger.catch_up({each.offer_id: each.budget for each in self.offers})
        return self.ledger.accounts()[offer_id]

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(tmp_path / "events")
    yield found
    found.ledger.close()
    found.events.close()

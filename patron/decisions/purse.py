"""What of every budget and daily cap is left, while several decisions are made in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import floor
from typing import Any

from patron.decisions.money import budget_of, cost_of
from patron.events.event import written
from patron.offers.catalogue import Catalogue
from patron.offers.terms import OfferTerms


@dataclass
class Purse:
    """Offer -> millionths left of its budget, and showings left today; offers without a limit are not in."""

    money: dict[str, int]
    showings: dict[str, int]

    def lacks(self, terms: OfferTerms) -> str | None:
        """Code of what one more showing lacks; None where it fits."""
        cost, name = cost_of(terms.cost), terms.offer_id
        if self.money.get(name, cost) < cost:
            return "budget"
        return "daily_cap" if self.showings.get(name, 1) < 1 else None

    def take(self, terms: OfferTerms) -> bool:
        """Take one showing; False, and nothing is taken, where it does not fit any more."""
        cost, name = cost_of(terms.cost), terms.offer_id
        if self.lacks(terms):
            return False
        if name in self.money:
            self.money[name] -= cost
        if name in self.showings:
            self.showings[name] -= 1
        return True


def left(connection: Any, catalogue: Catalogue, now: datetime) -> Purse:
    day = catalogue.contacts.day(now)
    money = {
        each.offer_id: budget_of(each.budget) - taken(connection, each.offer_id)
        for each in catalogue.offers
        if each.budget is not None
    }
    showings = {
        each.offer_id: floor(each.daily_cap) - shown_on(connection, each.offer_id, day)
        for each in catalogue.offers
        if each.daily_cap is not None
    }
    return Purse(money, showings)


def taken(connection: Any, offer_id: str) -> int:
    """What of an offer's budget is spent or held, in millionths."""
    found = connection.execute("select spent + held from accounts where offer_id = ?", (offer_id,)).get
    return int(found or 0)


def shown_on(connection: Any, offer_id: str, day: tuple[datetime, datetime]) -> int:
    """Showings of an offer between two moments that begin a quarter of an hour."""
    query = "select sum(shown) from quarters where offer_id = ? and begins_at >= ? and begins_at < ?"
    return int(connection.execute(query, (offer_id, quarter(day[0]), quarter(day[1]))).get or 0)


def quarter(moment: datetime) -> str:
    """How the beginning of a quarter of an hour is written."""
    return written(moment)[:16]

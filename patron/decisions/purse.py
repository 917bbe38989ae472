"""What of every budget and daily cap is left, while several decisions are made in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import floor
from typing import Any

from patron.decisions.availability import shown_on, taken
from patron.decisions.money import budget_of, cost_of
from patron.offers.catalogue import Catalogue
from patron.offers.terms import OfferTerms


@dataclass
class Purse:
    """Offer -> millionths left of its budget, and showings left today; offers without a limit are not in."""

    money: dict[str, int]
    showings: dict[str, int]

    def take(self, terms: OfferTerms) -> bool:
        """Take one showing; False, and nothing is taken, where it does not fit any more."""
        cost, name = cost_of(terms.cost), terms.offer_id
        if self.money.get(name, cost) < cost or self.showings.get(name, 1) < 1:
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

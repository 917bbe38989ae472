"""Whom to keep, and with what: offers given out under a budget by the value that each is expected to save.

An offer saves its effect on ordering again times the customer's lifetime value, less its expected cost; where
either is unknown, its expected margin. Money is counted in full: a coupon that is open holds its whole
cost. Whom chance leaves alone for a whole period gets nothing, so that it can be told what offers change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from patron.decisions.money import budget_of, cost_of
from patron.decisions.purse import Purse
from patron.decisions.records import CONTROL, Choice, Offered
from patron.models.activity import Numbers
from patron.models.offer_worth import Worth
from patron.models.offers import OfferPolicy
from patron.offers.allocation import Allocation, allocate
from patron.offers.terms import NONE, OfferTerms
from serving.deciding import offered
from serving.scoring import value_table

if TYPE_CHECKING:
    from features.rows import Rows
    from serving.bootstrap import Served

LEAVE_ALONE = "leave_alone"
SAYS = {
    "no_consent": "The customer does not want offers",
    "no_eligible_offer": "No offer may be made to the customer now",
    "no_evidence": "Nobody knows yet what the offers that may be made would change",
    "no_uplift": "No offer that may be made is expected to save more than it costs",
    "budget": "The money or the places save more elsewhere",
    CONTROL: "Left alone for a while, to learn what offers add",
    "experiment": "Left alone by an experiment",
    "quiet_day": "Nobody is contacted today",
    "quiet_hour": "Nobody is contacted at this hour",
    "contact_limit": "Contacted as often as the rules allow",
    "contact_rest": "Contacted too recently",
}
"""Why somebody is left alone."""


@dataclass
class Plan:
    """Chooses for all customers of a request at once; called by the ledger, which knows what is left.

    saved: shape (customers, offers), NaN where unknown. withheld: whether an experiment leaves each customer
    alone. After it was called, `found` says what the allocation made of the money.
    """

    policy: OfferPolicy
    worth: Worth
    saved: Numbers
    budget: float
    limit: int
    withheld: Sequence[bool]
    resting: Sequence[bool]
    """Whom chance leaves alone for the period."""
    found: Allocation | None = None

    def __call__(
        self, found: Sequence[tuple[Sequence[OfferTerms], Mapping[str, str]]], left: Purse
    ) -> list[Choice]:
        named = [{each.offer_id for each in offers} for offers, _ in found]
        may = [[each.offer_id in names for each in self.worth.offers] for names in named]
        allowed = np.array(may, dtype=bool).reshape(len(found), len(self.worth.offers))
        allowed &= ~np.array(self.withheld, dtype=bool)[:, None]
        value = np.where(allowed, self.saved, np.nan)
        chosen = self.paid(self.allocated(value, left), left)
        return [
            self.offer(row, int(arm)) if arm >= 0 else left_alone(self.why(row, value[row], refused))
            for row, (arm, (_, refused)) in enumerate(zip(chosen, found, strict=True))
        ]

    def allocated(self, value: Numbers, left: Purse) -> NDArray[np.int64]:
        """The arm of each customer by the best value under all limits, -1 for none."""
        offers = self.worth.offers
        if not offers:
            return np.full(len(value), -1)
        cost = np.tile([each.cost for each in offers], (len(value), 1))
        money = [left.money.get(each.offer_id, np.inf) for each in offers]
        places = [left.showings.get(each.offer_id, np.inf) for each in offers]
        self.found = allocate(
            value,
            cost,
            self.budget,
            arm_budgets=np.maximum(np.array(money, dtype=np.float64) / 1e6, 0),
            arm_caps=np.maximum(np.array(places, dtype=np.float64), 0),
            total_cap=self.limit,
        )
        return self.found.chosen

    def paid(self, chosen: NDArray[np.int64], left: Purse) -> NDArray[np.int64]:
        """What of it the money reaches for to the last millionth, the most valuable first."""
        trial = Purse({**left.money}, {**left.showings})
        total, kept = budget_of(self.budget), np.full(len(chosen), -1)
        given = np.flatnonzero(chosen >= 0)
        for row in given[np.argsort(-self.saved[given, chosen[given]], kind="stable")].tolist():
            terms = self.worth.offers[chosen[row]]
            if cost_of(terms.cost) <= total and trial.take(terms):
                total, kept[row] = total - cost_of(terms.cost), chosen[row]
        return kept

    def offer(self, row: int, arm: int) -> Choice:
        """The offer, unless chance leaves the customer alone."""
        name = self.worth.offers[arm].offer_id
        share = self.policy.config.left_alone
        arms = {NONE: share, name: 1 - share}
        if self.resting[row]:
            return Choice(left_alone(CONTROL, share).offered, arms)
        told = self.policy.told(self.worth, row, arm + 1, 1 - share, False)
        return Choice([offered(told)], arms)

    def why(self, row: int, value: Numbers, refused: Mapping[str, str]) -> str:
        """Why a customer gets nothing. value: of each offer, NaN where it may not be made or is unknown."""
        if self.withheld[row]:
            return "experiment"
        if len(refused) == len(self.worth.offers):
            codes = set(refused.values()) & set(SAYS)
            return codes.pop() if len(codes) == 1 else "no_eligible_offer"
        if np.isnan(value).all():
            return "no_evidence"
        return "budget" if np.nanmax(value) > 0 else "no_uplift"


def left_alone(code: str, propensity: float = 1.0) -> Choice:
    reasons = [{"code": code, "text": SAYS[code]}]
    return Choice([Offered(NONE, propensity, 0.0, 0.0, reasons)], {NONE: propensity})


def saved(policy: OfferPolicy, worth: Worth, rows: Rows, value: Served | None) -> Numbers:
    """Expected value saved by each offer, in margin: shape (customers, offers), NaN where unknown."""
    margin = worth.margin[:, 1:]
    if value is None:
        return margin
    table = value_table(value, rows, value.model.horizon_days, explain=0)
    worths = np.array([np.nan if each is None else each for each in table.expected_value], dtype=np.float64)
    share = 1.0 if value.model.value_of == "margin" else policy.config.margin_rate
    kept = worth.retained[:, 1:] * (worths * share)[:, None] - worth.cost[:, 1:]
    return np.where(np.isnan(kept), margin, kept)

"""What stands between the policy and the ledger: who may be asked what, and what the policy makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from patron.decisions.ledger import budgets_of
from patron.decisions.records import CONTROL, Asked, Choice, Choose, Circumstances, Offered
from patron.errors import EventLogError, PatronError
from patron.models.offer_worth import OfferDecision, Worth
from patron.models.offers import OfferPolicy
from patron.offers.catalogue import Catalogue
from patron.offers.eligibility import Who, refusal
from patron.offers.terms import NONE, OfferTerms
from serving.best_offers import customers
from serving.problems import Problem, unavailable
from serving.trials import of_offers

if TYPE_CHECKING:
    from features.rows import Rows
    from serving.bootstrap import Parts, Served

MODEL = "patron-offers"
CHAMPION, RANDOM, SEVERAL = "champion", "random", "several"
"""What an experiment may put in the policy's place, beside `none`; and the champion, asked for several."""


def catalogue_of(parts: Parts, policy: Any) -> Catalogue:
    """The offers as of now. Raises Problem where they cannot be read."""
    try:
        return parts.offers.catalogue({each.offer_id: each.arm for each in policy.offers})
    except PatronError as error:
        raise unavailable("offers", "The offers cannot be read. The log says why.") from error


def circumstances(
    parts: Parts, served: Served, rows: Rows, channel: str | None, policy: str
) -> Circumstances:
    """policy: what chooses; only what the champion draws by chance goes under its bare name."""
    name = served.name if policy == CHAMPION else f"{served.name}:{policy}"
    return Circumstances(parts.now(), channel, name, served.version, rows.as_of)


def questions(
    catalogue: Catalogue, policy: OfferPolicy, rows: Rows, now: datetime, channel: str | None
) -> list[Asked]:
    """For each customer the offers whose terms are met, and why the others' are not."""

    @cache
    def refused(who: Who) -> dict[str, str]:
        codes = {
            each.offer_id: refusal(each, who, now, channel, catalogue.tiers) for each in catalogue.offers
        }
        return {name: code for name, code in codes.items() if code}

    found = [refused(who) for who in customers(policy, rows)]
    return [
        Asked(customer_id, [one for one in catalogue.offers if one.offer_id not in codes], codes)
        for customer_id, codes in zip(rows.ids, found, strict=True)
    ]


def trial(parts: Parts, asked: Asked) -> tuple[Asked, str]:
    """(the question with its arm, what chooses): by an experiment, where the customer is in one."""
    found = of_offers(parts, asked.customer_id)
    if found is None:
        return asked, CHAMPION
    return replace(asked, experiment=found.label), str(found.parameters.get("policy", CHAMPION))


def chooser(
    policy: OfferPolicy,
    asked: Asked,
    rows: Rows,
    now: datetime,
    limit: int,
    rng: np.random.Generator,
    by: str = CHAMPION,
) -> Choose:
    """What chooses for the first customer; what offers are worth is computed before the ledger is asked."""
    worth = policy.worth(rows.columns, asked.offers)
    resting = policy.alone(asked.customer_id, now)

    def choose(offers: Sequence[OfferTerms]) -> Choice:
        left = among(worth, offers)
        if by == NONE:
            return alone()
        if by == RANDOM:
            return evenly(policy, left, rng)
        chances = chances_of(policy, left)
        if resting:
            return Choice([control(chances[NONE])], chances)
        shown = [offered(each) for each in policy.decided(left, 0, limit, rng)]
        return Choice([replace(each, propensity=chances[each.offer_id]) for each in shown], chances)

    return choose


def chances_of(policy: OfferPolicy, worth: Worth) -> dict[str, float]:
    """The chance of every arm, that of being left alone for the period counted in."""
    share = policy.config.left_alone
    chances = policy.propensities(worth, 0) * (1 - share)
    chances[0] = max(1 - chances[1:].sum(), 0.0)
    return dict(zip(worth.names, chances.tolist(), strict=True))


def control(propensity: float) -> Offered:
    """Nothing, for who is left alone for a whole period."""
    text = "left alone for a while, to learn what offers add"
    return Offered(NONE, propensity, 0.0, 0.0, [{"code": CONTROL, "text": text}])


def among(worth: Worth, offers: Sequence[OfferTerms]) -> Worth:
    """The worth of some of the offers only."""
    names = {each.offer_id: place for place, each in enumerate(worth.offers, start=1)}
    kept = [0, *(names[each.offer_id] for each in offers)]
    columns = {name: getattr(worth, name)[:, kept] for name in ("uplift", "margin", "cost")}
    return replace(worth, offers=tuple(offers), evidence=worth.evidence[kept], **columns)


def alone(code: str = "experiment", text: str = "left alone, to learn what offers add") -> Choice:
    reasons = [{"code": code, "text": text}]
    return Choice([Offered(NONE, 1.0, 0.0, 0.0, reasons)], {NONE: 1.0})


def evenly(policy: OfferPolicy, worth: Worth, rng: np.random.Generator) -> Choice:
    """Any arm with the same chance."""
    arms = len(worth.names)
    told = policy.told(worth, 0, int(rng.integers(arms)), 1 / arms, True)
    return Choice([offered(told)], dict.fromkeys(worth.names, 1 / arms))


def offered(told: OfferDecision) -> Offered:
    reasons = [{"code": each.code, "text": each.text} for each in told.reasons]
    return Offered(told.offer_id, told.propensity, told.expected_uplift, told.expected_margin, reasons)


def not_logged(error: EventLogError) -> Problem:
    """A decision that cannot be stored is not made: nothing could be learned from it."""
    return unavailable("decision_log", "The decision could not be stored. Try again.", 5)


def budgets(parts: Parts) -> dict[str, float | None]:
    """Offer -> its budget as of now. Raises PatronError where the offers cannot be read."""
    return budgets_of(parts.offers.catalogue())

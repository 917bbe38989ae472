"""Which offers may be made to a customer this very moment: budgets, caps, contacts, rests, exclusions.

Read within the transaction that books what is chosen, so that no two decisions count on the same money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from patron.decisions import purse
from patron.decisions.purse import Purse
from patron.events.event import written
from patron.offers.catalogue import Catalogue
from patron.offers.terms import ChannelRules, ContactRules, OfferTerms

SEEN = """
select offer_id, arm, count(*), max(shown_at), max(case when answer = 'declined' then answered_at end)
from showings where customer_id = ? group by offer_id, arm
"""
CONTACTS = "select count(distinct decision_id), max(shown_at) from showings where customer_id = ?1"


class Seen(NamedTuple):
    """What one customer has seen of one offer."""

    offer_id: str
    arm: str
    times: int
    last: datetime
    declined: datetime | None


def split(
    connection: Any,
    customer_id: str,
    offers: Sequence[OfferTerms],
    channel: str | None,
    now: datetime,
    catalogue: Catalogue,
    left: Purse | None = None,
) -> tuple[list[OfferTerms], dict[str, str]]:
    """(offers that may be made now, offer -> code of why it may not).

    offers: those whose terms are met. catalogue: for the rules of contact, and what else excludes what.
    left: what of budgets and caps is left, where the caller has looked already.
    """
    nobody = no_contact(connection, customer_id, channel, now, catalogue.contacts)
    if nobody:
        return [], {each.offer_id: nobody for each in offers}
    history, left = seen(connection, customer_id), left or purse.left(connection, catalogue, now)
    codes = {
        each.offer_id: left.lacks(each) or unwelcome(each, history, catalogue.by_id, now) for each in offers
    }
    refused = {offer_id: code for offer_id, code in codes.items() if code}
    return [each for each in offers if each.offer_id not in refused], refused


def no_contact(
    connection: Any, customer_id: str, channel: str | None, now: datetime, contacts: ContactRules
) -> str | None:
    """Why the customer is not contacted at all now. A contact is a decision that showed an offer."""
    quiet = contacts.quiet(now)
    if quiet:
        return quiet
    rules: list[tuple[ChannelRules, str | None]] = [(contacts.any_channel, None)]
    if channel is not None and channel in contacts.channels:
        rules.append((contacts.channels[channel], channel))
    for rule, through in rules:
        if rule.most is not None and made(connection, customer_id, through, now, rule.days) >= rule.most:
            return "contact_limit"
        if rule.rest_hours and made(connection, customer_id, through, now, rule.rest_hours / 24):
            return "contact_rest"
    return None


def made(connection: Any, customer_id: str, channel: str | None, now: datetime, days: float) -> int:
    """Contacts of a customer in the last `days`, through one channel or (None) any."""
    query = f"{CONTACTS} and shown_at > ?2" + (" and channel = ?3" if channel is not None else "")
    given = (customer_id, written(now - timedelta(days=days)), *([channel] if channel is not None else []))
    return int(connection.execute(query, given).get[0])


def seen(connection: Any, customer_id: str) -> list[Seen]:
    rows = connection.execute(SEEN, (customer_id,)).fetchall()
    return [Seen(offer, arm, times, moment(last), moment(no)) for offer, arm, times, last, no in rows]


def moment(text: str | None) -> Any:
    return None if text is None else datetime.fromisoformat(text)


def unwelcome(
    terms: OfferTerms, history: Sequence[Seen], known: Mapping[str, OfferTerms], now: datetime
) -> str | None:
    """The reason that lies in what the customer has seen and said."""
    for each in history:
        if each.offer_id == terms.offer_id:
            if terms.per_customer is not None and each.times >= terms.per_customer:
                return "per_customer"
            if each.declined and now < each.declined + timedelta(days=terms.declined_days):
                return "declined"
            if terms.rest_days and now < each.last + timedelta(days=terms.rest_days):
                return "rest"
    excluded = any(excludes(terms, each, known, now) for each in history if each.offer_id != terms.offer_id)
    return "excluded" if excluded else None


def excludes(terms: OfferTerms, seen: Seen, known: Mapping[str, OfferTerms], now: datetime) -> bool:
    """Whether an offer keeps away from one that was seen, or that one from it."""
    if named(terms, seen.offer_id, seen.arm) and now < seen.last + timedelta(days=terms.exclude_days):
        return True
    other = known.get(seen.offer_id)
    return (
        other is not None
        and named(other, terms.offer_id, terms.arm)
        and now < seen.last + timedelta(days=other.exclude_days)
    )


def named(terms: OfferTerms, offer_id: str, arm: str) -> bool:
    """Whether the terms exclude an offer, by its id or its group."""
    return offer_id in terms.excludes or arm in terms.excludes


def together(offers: Sequence[OfferTerms]) -> list[OfferTerms]:
    """The first of these offers, and those after it that none before excludes or is excluded by."""
    kept: list[OfferTerms] = []
    for each in offers:
        apart = any(named(each, one.offer_id, one.arm) or named(one, each.offer_id, each.arm) for one in kept)
        if not apart:
            kept.append(each)
    return kept

"""Writing one decision down, within the transaction that made it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from patron.decisions import booking
from patron.decisions.availability import together
from patron.decisions.purse import Purse
from patron.decisions.records import Asked, Choice, Circumstances, Decided, Offered, Shown
from patron.events.event import written
from patron.offers.catalogue import Catalogue
from patron.offers.terms import NONE, OfferTerms

COLUMNS = (
    *("decision_id", "occurred_at", "customer_id", "offers", "policy", "model_version", "features_as_of"),
    *("channel", "idempotency_key", "arm", "propensity", "told"),
)
INSERT = f"insert into decisions ({', '.join(COLUMNS)}) values ({', '.join('?' * len(COLUMNS))})"


def book(
    connection: Any,
    asked: Asked,
    around: Circumstances,
    catalogue: Catalogue,
    left: Purse,
    choice: Choice,
    refused: Mapping[str, str],
) -> Decided:
    """Show what was chosen, as far as the purse reaches and the offers go together; `none` where nothing is.

    Raises ValueError where the first offer, whose propensity is logged, cannot be shown: the policy chose
    what it was not given.
    """
    decision_id = str(uuid.uuid4())
    first, *others = fitting(choice.offered, asked.offers, left)
    shown = [
        showing(
            connection, f"{decision_id}:{place}" if place else decision_id, decision_id, asked, around, each
        )
        for place, each in enumerate([first, *others])
    ]
    terms = catalogue.of(first.offer_id)
    insert(connection, decision_id, asked, around, terms.arm if terms else NONE, choice, shown, refused)
    return Decided(decision_id, shown, around.model_version, around.features_as_of, asked.experiment)


def fitting(chosen: Sequence[Offered], offers: Sequence[OfferTerms], left: Purse) -> list[Offered]:
    """The first line, and those after it that go together with it and are still paid for."""
    if chosen[0].offer_id == NONE:
        return list(chosen[:1])
    known = {each.offer_id: each for each in offers}
    apart = together([known[each.offer_id] for each in chosen])
    kept = {each.offer_id for each in apart if left.take(each)}
    if chosen[0].offer_id not in kept:
        raise ValueError("The policy chose an offer that may not be made.")
    return [each for each in chosen if each.offer_id in kept]


def showing(
    connection: Any, showing_id: str, decision_id: str, asked: Asked, around: Circumstances, offered: Offered
) -> Shown:
    terms = next((each for each in asked.offers if each.offer_id == offered.offer_id), None)
    if terms is None:
        return Shown(offered, None, None)
    given = (showing_id, decision_id, asked.customer_id, terms, around.channel, around.now)
    return Shown(offered, showing_id, booking.show(connection, *given))


def insert(
    connection: Any,
    decision_id: str,
    asked: Asked,
    around: Circumstances,
    arm: str,
    choice: Choice,
    shown: Sequence[Shown],
    refused: Mapping[str, str],
) -> None:
    first = shown[0].offered
    offers = [{"offer_id": each.offered.offer_id, "propensity": each.offered.propensity} for each in shown]
    told = {
        "offers": [line(each) for each in shown],
        "arms": [{"offer_id": name, "propensity": each} for name, each in choice.propensities.items()],
        "refused": [{"offer_id": name, "code": code} for name, code in sorted(refused.items())],
        "experiment": asked.experiment,
    }
    row = (
        *(decision_id, written(around.now), asked.customer_id, json.dumps(offers), around.policy),
        *(around.model_version, text(around.features_as_of), around.channel, asked.idempotency_key),
        *(arm, first.propensity, json.dumps(told)),
    )
    connection.execute(INSERT, row)


def line(shown: Shown) -> dict[str, Any]:
    """One line of the answer as JSON keeps it."""
    return {
        "offer_id": shown.offered.offer_id,
        "propensity": shown.offered.propensity,
        "expected_uplift": shown.offered.expected_uplift,
        "expected_margin": shown.offered.expected_margin,
        "reasons": [dict(each) for each in shown.offered.reasons],
        "showing_id": shown.showing_id,
        "expires_at": text(shown.expires_at),
    }


def text(moment: datetime | None) -> str | None:
    return None if moment is None else written(moment)

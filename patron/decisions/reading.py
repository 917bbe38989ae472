"""Reading decisions back: for a caller who asks again, and for one who asks why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from patron.decisions.money import amount
from patron.decisions.records import Asked, Decided, Offered, Shown
from patron.offers.eligibility import NO_CONSENT
from patron.offers.terms import NONE

AGAIN = """
select decision_id, told, model_version, features_as_of from decisions
where customer_id = ? and idempotency_key = ?
"""
DECISION = (
    *("decision_id", "occurred_at", "customer_id", "offers", "policy", "model_version", "features_as_of"),
    *("channel", "told"),
)
SHOWING = ("showing_id", "offer_id", "cost", "money", "held_until", "answer", "answered_at")
ACCOUNT = ("offer_id", "spent", "held", "shown", "accepted", "declined")

SAYS = {"code": NO_CONSENT, "text": "The customer does not want offers"}
WITHDRAWN = Shown(Offered(NONE, 1.0, 0.0, 0.0, [SAYS]), None, None)


def again(connection: Any, asked: Asked) -> Decided | None:
    """What was decided for this customer under this idempotency key; None where nothing was.

    Who does not want offers any more gets none of them again: the decision stays as it is, and is not told.
    """
    if asked.idempotency_key is None:
        return None
    row = connection.execute(AGAIN, (asked.customer_id, asked.idempotency_key)).fetchone()
    if row is None:
        return None
    decision_id, told, version, as_of = row
    document = json.loads(told)
    lines = [WITHDRAWN] if asked.unwanted else [shown(each) for each in document["offers"]]
    return Decided(decision_id, lines, version, moment(as_of), document["experiment"], again=True)


def customers(connection: Any, key: str) -> list[str]:
    query = "select customer_id from decisions where idempotency_key = ? order by rowid"
    return [name for (name,) in connection.execute(query, (key,))]


def shown(told: Mapping[str, Any]) -> Shown:
    """The line of an answer that was kept as JSON."""
    offered = Offered(
        offer_id=told["offer_id"],
        propensity=told["propensity"],
        expected_uplift=told["expected_uplift"],
        expected_margin=told["expected_margin"],
        reasons=tuple(told["reasons"]),
    )
    return Shown(offered, told["showing_id"], moment(told["expires_at"]))


def moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def decision(connection: Any, decision_id: str) -> dict[str, Any] | None:
    """One decision with what came of it so far, as GET /v1/decisions/{id} tells it.

    A decision of an older file has no arms and no refusals, and each of its offers has a propensity alone.
    """
    query = f"select {', '.join(DECISION)} from decisions where decision_id = ?"
    row = connection.execute(query, (decision_id,)).fetchone()
    if row is None:
        return None
    found = dict(zip(DECISION, row, strict=True))
    told = json.loads(found.pop("told") or "null") or {"offers": json.loads(found["offers"])}
    outcomes = {each["showing_id"]: each for each in showings(connection, decision_id)}
    offers = [{**each, "outcome": outcomes.get(each.get("showing_id"))} for each in told["offers"]]
    return {
        **found,
        "offers": offers,
        "arms": told.get("arms", []),
        "refused": told.get("refused", []),
        "experiment": told.get("experiment"),
    }


def showings(connection: Any, decision_id: str) -> list[dict[str, Any]]:
    query = f"select {', '.join(SHOWING)} from showings where decision_id = ? order by showing_id"
    rows = connection.execute(query, (decision_id,)).fetchall()
    found = [dict(zip(SHOWING, row, strict=True)) for row in rows]
    return [{**each, "cost": amount(each["cost"])} for each in found]


def accounts(connection: Any) -> dict[str, dict[str, float]]:
    """Offer -> spent and held in currency, and how often it was shown, accepted and declined."""
    rows = connection.execute(f"select {', '.join(ACCOUNT)} from accounts order by offer_id").fetchall()
    return {
        name: {"spent": amount(spent), "held": amount(held), **dict(zip(ACCOUNT[3:], counts, strict=True))}
        for name, spent, held, *counts in rows
    }

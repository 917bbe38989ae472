"""What a showing and its answer do to an offer's account. Every function is called within a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from patron.decisions.money import budget_of, cost_of
from patron.events.event import written
from patron.offers.terms import OfferTerms

OPEN_ACCOUNT = "insert or ignore into accounts (offer_id) values (?)"
RELEASE = """
update showings set money = 'released' where money = 'held' and held_until <= ? returning offer_id, cost
"""
REOPEN = """
update decisions set settled = 0
where decision_id = (select decision_id from showings where showing_id = ?)
"""
FIND = "select showing_id, customer_id, offer_id, cost, money, answer from showings where showing_id = ?"


class Showing(NamedTuple):
    showing_id: str
    customer_id: str
    offer_id: str
    cost: int
    money: str
    answer: str | None


def show(
    connection: Any,
    showing_id: str,
    decision_id: str,
    customer_id: str,
    terms: OfferTerms,
    channel: str | None,
    now: datetime,
) -> datetime | None:
    """Write a showing down and take its cost; until when the cost is held, None where it is spent."""
    until = now + timedelta(hours=terms.hold_hours) if terms.costs_on_conversion else None
    cost, money = cost_of(terms.cost), "held" if until else "spent"
    connection.execute(
        "insert into showings values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, null, null, null, null)",
        (
            *(showing_id, decision_id, customer_id, terms.offer_id, terms.arm, channel, written(now), cost),
            *(money, written(until) if until else None),
        ),
    )
    move(connection, terms.offer_id, **{money: cost}, shown=1)
    return until


def move(connection: Any, offer_id: str, **changes: int) -> None:
    """Add to the columns of an offer's account."""
    connection.execute(OPEN_ACCOUNT, (offer_id,))
    told = ", ".join(f"{name} = {name} + ?" for name in changes)
    connection.execute(f"update accounts set {told} where offer_id = ?", (*changes.values(), offer_id))


def release(connection: Any, now: datetime) -> int:
    """Give back what was held for offers whose time to be taken up is over; how many they were."""
    over = connection.execute(RELEASE, (written(now),)).fetchall()
    for offer_id, cost in over:
        move(connection, offer_id, held=-cost)
    return len(over)


def accept(connection: Any, found: Showing, budgets: Mapping[str, float | None]) -> str:
    """Spend what a showing held; what it comes to: `accepted`, `too_late`, or `known` where it was answered.

    After the hold has ended, the offer counts as accepted only where its budget is known and has room for it.
    """
    if found.answer in ("accepted", "too_late"):
        return "known"
    if found.money == "held":
        move(connection, found.offer_id, held=-found.cost, spent=found.cost, accepted=1)
    elif found.money == "spent":
        move(connection, found.offer_id, accepted=1)
    elif found.offer_id in budgets and room(connection, found, budgets[found.offer_id]):
        move(connection, found.offer_id, spent=found.cost, accepted=1)
    else:
        return "too_late"
    if found.answer == "declined":
        move(connection, found.offer_id, declined=-1)
    connection.execute("update showings set money = 'spent' where showing_id = ?", (found.showing_id,))
    return "accepted"


def room(connection: Any, found: Showing, budget: float | None) -> bool:
    query = "select spent + held from accounts where offer_id = ?"
    taken = int(connection.execute(query, (found.offer_id,)).get or 0)
    return budget is None or taken + found.cost <= budget_of(budget)


def decline(connection: Any, found: Showing) -> str:
    """Release what a showing held; `declined`, or `known` where it was answered."""
    if found.answer is not None:
        return "known"
    if found.money == "held":
        move(connection, found.offer_id, held=-found.cost, declined=1)
        connection.execute("update showings set money = 'released' where showing_id = ?", (found.showing_id,))
    else:
        move(connection, found.offer_id, declined=1)
    return "declined"


def answered(connection: Any, showing_id: str, answer: str, at: str) -> None:
    connection.execute(
        "update showings set answer = ?, answered_at = ? where showing_id = ?", (answer, at, showing_id)
    )


def valued(connection: Any, showing_id: str, event: str, value: float | None) -> None:
    """Add what was bought, or keep what was said at the acceptance; the lake has to learn of it again."""
    if event == "purchase":
        connection.execute(
            "update showings set bought = coalesce(bought, 0) + ? where showing_id = ?",
            (value or 0.0, showing_id),
        )
    elif value is not None:
        connection.execute("update showings set told_value = ? where showing_id = ?", (value, showing_id))
    connection.execute(REOPEN, (showing_id,))


def showing(connection: Any, showing_id: str) -> Showing | None:
    row = connection.execute(FIND, (showing_id,)).fetchone()
    return Showing(*row) if row else None

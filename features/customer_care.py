"""Customer care: the last answer to a survey, and tickets.

A ticket is open at the cutoff where it was opened before and not closed before. Whether somebody was
satisfied is known once their ticket is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.staging import Staged, whole_seconds
from features.view import DAY, FieldType, View

if TYPE_CHECKING:
    import ibis

FIELDS: dict[str, FieldType] = {
    "nps_score": "Float64",
    "nps_answered_at": "Int64",
    "open_tickets": "Int64",
    "tickets_365d": "Int64",
    "last_ticket_at": "Int64",
    "last_ticket_satisfied": "Bool",
}


def last(table: ibis.Table, *then: str) -> ibis.Table:
    """The newest row of each customer by `at`, the greater by `then` where equal."""
    import ibis

    newest = ibis.window(group_by="customer_id", order_by=[ibis.desc(each) for each in ("at", *then)])
    return table.mutate(place=ibis.row_number().over(newest)).filter(lambda each: each.place == 0)


def answers(surveys: ibis.Table, cutoff: int) -> ibis.Table:
    """The last answer of each customer; the higher score of two in the same second."""
    known = surveys.select("customer_id", "score", at=whole_seconds(surveys.answered_at))
    newest = last(known.filter(known["at"] < cutoff), "score")
    return newest.select("customer_id", nps_score=newest.score, nps_answered_at=newest["at"])


def cases(tickets: ibis.Table, cutoff: int) -> ibis.Table:
    """Counts of each customer's tickets, and the one opened last."""
    import ibis

    known = tickets.select(
        "customer_id",
        "ticket_id",
        "satisfied",
        at=whole_seconds(tickets.opened_at),
        closed=whole_seconds(tickets.closed_at),
    )
    known = known.filter(known["at"] < cutoff)
    known = known.mutate(open=known.closed.isnull() | (known.closed >= cutoff))
    counted = known.group_by("customer_id").agg(
        open_tickets=known.count(where=known.open),
        tickets_365d=known.count(where=known["at"] >= cutoff - 365 * DAY),
    )
    newest = last(known, "ticket_id")
    told = newest.select(
        "customer_id",
        last_ticket_at=newest["at"],
        last_ticket_satisfied=ibis.ifelse(newest.open, ibis.null("boolean"), newest.satisfied),
    )
    return counted.inner_join(told, "customer_id")


def snapshot(staged: Staged, cutoff: int) -> ibis.Table:
    """One row for each customer with an answer or a ticket before the cutoff; null where they have none."""
    asked, helped = answers(staged.surveys, cutoff), cases(staged.tickets, cutoff)
    people = asked.select("customer_id").union(helped.select("customer_id"), distinct=True)
    found = people.left_join(asked, "customer_id").drop("customer_id_right")
    found = found.left_join(helped, "customer_id")
    return found.select(
        "customer_id",
        "nps_score",
        "nps_answered_at",
        "open_tickets",
        "tickets_365d",
        "last_ticket_at",
        "last_ticket_satisfied",
    )


VIEW = View(
    name="customer_care",
    entity="customer",
    fields=FIELDS,
    snapshot=snapshot,
    description="The last answer to a survey (0 to 10), open tickets, tickets of a year, how the last ended.",
    tables=("tickets", "surveys"),
)

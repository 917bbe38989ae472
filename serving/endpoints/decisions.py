"""GET /v1/decisions/{id}: what was decided, what else could have been, why not, and what came of it."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from patron.errors import PatronError
from serving.deciding import MODEL, budgets
from serving.operations import Answer, Operation
from serving.problems import Problem
from serving.shapes import Because, ModelLabel

if TYPE_CHECKING:
    from serving.bootstrap import Parts

log = logging.getLogger(__name__)


class Outcome(Answer):
    """What became of one shown offer and of its cost."""

    cost: float
    money: Literal["spent", "held", "released"]
    held_until: datetime | None
    """Null of an offer that is paid when it is shown."""
    answer: Literal["accepted", "declined", "too_late"] | None
    """Null while nobody said anything. `too_late`: accepted after the hold, when the budget was gone."""
    answered_at: datetime | None


class Line(Answer):
    offer_id: str
    propensity: float
    expected_uplift: float | None
    expected_margin: float | None
    reasons: list[Because]
    decision_id: str | None
    """What events about this offer name. Null for `none`."""
    outcome: Outcome | None


class Arm(Answer):
    offer_id: str
    propensity: float
    """Probability that it had of being shown first; those of all arms add up to 1."""


class Refusal(Answer):
    offer_id: str
    code: str
    """Why it could not be made to this customer then."""


class DecisionAnswer(Answer):
    decision_id: str
    customer_id: str
    decided_at: datetime
    channel: str | None
    policy: str
    model: ModelLabel
    features_as_of: datetime | None
    experiment: str | None
    offers: list[Line]
    arms: list[Arm]
    """What could have been shown. Empty for decisions of before this was kept."""
    refused: list[Refusal]


def decision(parts: Parts, decision_id: str) -> DecisionAnswer:
    """Raises Problem 404 for a decision that was never made."""
    try:
        parts.decisions.catch_up(budgets(parts))
    except PatronError:
        log.warning("What came of offers could not be booked", exc_info=True)
    found = parts.decisions.find(decision_id)
    if found is None:
        raise Problem(404, "no_such_decision", "No decision has this id.")
    return answer(found)


def answer(found: dict[str, Any]) -> DecisionAnswer:
    return DecisionAnswer(
        decision_id=found["decision_id"],
        customer_id=found["customer_id"],
        decided_at=found["occurred_at"],
        channel=found["channel"],
        policy=found["policy"],
        model=ModelLabel(name=MODEL, version=found["model_version"]),
        features_as_of=found["features_as_of"],
        experiment=found["experiment"],
        offers=[line(each) for each in found["offers"]],
        arms=[Arm(**each) for each in found["arms"]],
        refused=[Refusal(**each) for each in found["refused"]],
    )


def line(told: dict[str, Any]) -> Line:
    """A line of the decision; of an older file nothing is told but offer and propensity."""
    outcome = told.get("outcome")
    return Line(
        offer_id=told["offer_id"],
        propensity=told["propensity"],
        expected_uplift=told.get("expected_uplift"),
        expected_margin=told.get("expected_margin"),
        reasons=[Because(**each) for each in told.get("reasons", [])],
        decision_id=told.get("showing_id"),
        outcome=outcome and Outcome.model_validate({each: outcome[each] for each in Outcome.model_fields}),
    )


OPERATION = Operation(
    name="decision",
    method="GET",
    path="/v1/decisions/{decision_id}",
    scopes=frozenset({"crm", "admin"}),
    answer=DecisionAnswer,
    handle=lambda parts, values, body: decision(parts, values["decision_id"]),
    summary="Tell why a decision was made: its arms with their chances, the offers refused, what came of it.",
    problems=(404, 503),
)

"""GET /v1/segments: how many customers each group holds, what they are worth, and who moved."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from patron.errors import NoScores
from serving.bootstrap import Parts
from serving.operations import Answer, Operation
from serving.score_history import folder


class Group(Answer):
    name: str
    customers: int
    share: float
    expected_value: float
    """Of all of them together, in the shop's currency, over `horizon_days`."""
    churn_probability: float | None
    """Mean of those who have one."""


class Move(Answer):
    previous: str
    current: str
    customers: int
    expected_value: float
    value_before: float


class Movements(Answer):
    """Transition matrices between the last two moments that were scored; who stayed is on their diagonals."""

    since: date
    until: date
    models_changed: list[str]
    """Models of another version than then: some of the movement may be theirs."""
    segment: list[Move]
    lifecycle_stage: list[Move]
    churn_risk: list[Move]
    value_tier: list[Move]
    loyalty_tier: list[Move]


class SegmentsAnswer(Answer):
    as_of: date
    scored_at: datetime
    customers: int
    expected_value: float
    horizon_days: int | None
    """What values are about: the next so many days."""
    value_of: str | None
    """`revenue` or `margin`."""
    models: dict[str, str]
    segments: list[Group]
    stages: list[Group]
    risks: list[Group]
    value_tiers: list[Group]
    loyalty_tiers: list[Group]
    movements: Movements | None
    """Null until two moments were scored."""


LISTS = {
    "segments": "segment",
    "stages": "lifecycle_stage",
    "risks": "churn_risk",
    "value_tiers": "value_tier",
    "loyalty_tiers": "loyalty_tier",
}
"""Field of the answer -> what a scoring calls it."""


def segments(parts: Parts) -> SegmentsAnswer:
    """The summary that the last `patron score` left. Raises NoScores where there is none."""
    found = stored(parts)
    groups = found.pop("groups")
    return SegmentsAnswer.model_validate(found | {name: groups[each] for name, each in LISTS.items()})


def stored(parts: Parts) -> Any:
    try:
        return json.loads((folder(parts.settings) / "summary.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoScores("Nobody was scored yet. Score: patron score") from None


OPERATION = Operation(
    name="segments",
    method="GET",
    path="/v1/segments",
    scopes=frozenset({"crm"}),
    answer=SegmentsAnswer,
    handle=lambda parts, values, body: segments(parts),
    summary="Count and value the customers of each segment, stage, risk and tier, and who moved.",
    problems=(503,),
)

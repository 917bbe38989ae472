"""Scores of customers, computed once for the endpoints, the profile and the batch alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import clean, column
from patron.models.base import Reason
from patron.models.churn import Churn

if TYPE_CHECKING:
    from features.rows import Rows
    from serving.bootstrap import Parts, Served

PROSPECT = "prospect"
QUICK = 2
"""Customers that are scored in less time than it takes to hand them to a thread."""


def few(parts: Parts, body: Any) -> bool:
    """Whether to score at once: only a store of this machine's memory is sure not to make others wait."""
    return len(body.customer_ids) <= QUICK and parts.settings.online_store == "lmdb"


@dataclass(frozen=True)
class ChurnTable:
    """One entry a customer; probability, risk and date are None where the status is not `scored`."""

    status: list[Any]
    probability: list[float | None]
    risk: list[Any]
    next_order_at: list[datetime | None]
    reasons: list[list[Reason]]


@dataclass(frozen=True)
class ValueTable:
    """One entry a customer; everything but the status is None for an unknown one."""

    status: list[Any]
    expected_value: list[float | None]
    low: list[float | None]
    high: list[float | None]
    expected_orders: list[float | None]
    probability_active: list[float | None]
    tier: list[Any]
    reasons: list[list[Reason]]


def churn_table(served: Served, rows: Rows, explain: int = 3) -> ChurnTable:
    """Churn scores. A customer without orders is `unknown`. One customer takes the model's shorter way."""
    ordered = buyers(rows)
    if len(rows) == 1 and ordered[0] and isinstance(served.model, Churn):
        return judged(served.model, rows, explain)
    status = np.where(ordered, "scored", "unknown").astype("U32")
    known = rows.take(ordered)
    status[ordered] = served.model.statuses(known.columns)
    scored = status == "scored"
    chosen = rows.take(scored).columns
    probability = served.model.predict(chosen)
    days = served.model.next_order_days(chosen)
    return ChurnTable(
        status=status.tolist(),
        probability=spread(probability, scored),
        risk=spread(served.model.risks(probability), scored),
        next_order_at=spread([after(rows.as_of, each) for each in days.tolist()], scored),
        reasons=spread(served.model.reasons(chosen, explain), scored, list),
    )


def buyers(rows: Rows) -> NDArray[np.bool_]:
    """Who ordered before: a customer may also be known from what else the shop has of them."""
    return rows.known & ~np.isnan(column(rows.columns, "orders_total"))


def judged(model: Churn, rows: Rows, explain: int) -> ChurnTable:
    """The table of one customer."""
    found = model.judge(rows.columns, explain)
    due = None if found.next_order_days is None else after(rows.as_of, found.next_order_days)
    return ChurnTable([found.status], [found.probability], [found.risk], [due], [found.reasons])


def after(moment: datetime | None, days: float) -> datetime | None:
    """`days` after the moment, to the second; None where either is not known."""
    if moment is None or not isfinite(days):
        return None
    return moment + timedelta(seconds=round(days * 86_400))


def value_table(served: Served, rows: Rows, horizon_days: int, explain: int = 3) -> ValueTable:
    """Lifetime values over the horizon; the tier is that of the trained horizon. No orders: `unknown`."""
    mask, model = buyers(rows), served.model
    known = clean((rows if mask.all() else rows.take(mask)).columns)
    found = model.predict(known, horizon_days)
    usual = found if horizon_days == model.horizon_days else model.predict(known, model.horizon_days)
    return ValueTable(
        status=np.where(mask, "scored", "unknown").tolist(),
        expected_value=spread(found.expected_value, mask),
        low=spread(found.low, mask),
        high=spread(found.high, mask),
        expected_orders=spread(found.expected_orders, mask),
        probability_active=spread(found.probability_active, mask),
        tier=spread(model.value_tiers(known, usual), mask),
        reasons=spread(model.reasons(known, explain), mask, list),
    )


def spread(values: Iterable[Any], mask: NDArray[np.bool_], default: Any = None) -> list[Any]:
    """Values of the masked rows at their places, else `default` (called if callable); NaN becomes None."""
    given = iter(values.tolist() if isinstance(values, np.ndarray) else values)
    filled = (
        next(given) if each else (default() if callable(default) else default) for each in mask.tolist()
    )
    return [None if isinstance(each, float) and not np.isfinite(each) else each for each in filled]


def segment_table(policy: Any, rows: Rows) -> tuple[list[str], list[str]]:
    """(segment, lifecycle stage) of each customer; a customer without orders is a prospect in both."""
    known = rows.take(rows.known).columns
    stages = spread(policy.segments.stage(known), rows.known, PROSPECT)
    segments = spread(policy.segments.segment(known), rows.known, PROSPECT)
    named = [
        PROSPECT if stage == PROSPECT else segment for segment, stage in zip(segments, stages, strict=True)
    ]
    return named, stages

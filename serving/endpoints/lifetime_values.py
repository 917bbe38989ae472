"""POST /v1/lifetime-values: what customers are expected to spend within a horizon."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import bentoml
from pydantic import Field

from serving.operations import Answer, Body, Endpoint, allowed
from serving.scoring import few, value_table
from serving.shapes import WHOLE, Because, CustomerIds, ModelLabel, because

MODEL = "patron-lifetime-value"


class LifetimeValuesRequest(Body):
    customer_ids: CustomerIds
    horizon_days: Annotated[int, Field(ge=1, le=1825), WHOLE] | None = None
    """Default: the horizon that the model was trained for."""


class LifetimeValue(Answer):
    customer_id: str
    status: Literal["scored", "unknown"]
    expected_value: float | None
    interval: tuple[float, float] | None
    """[low, high] in the shop's currency."""
    expected_orders: float | None
    probability_active: float | None
    value_tier: Literal["low", "middle", "potential", "high"] | None
    reasons: list[Because]


class LifetimeValuesAnswer(Answer):
    values: list[LifetimeValue]
    horizon_days: int
    value_of: Literal["revenue", "margin"]
    model: ModelLabel
    features_as_of: datetime | None


class LifetimeValues(Endpoint):
    @bentoml.api(route="/v1/lifetime-values")
    @allowed("crm", quick=few)
    def lifetime_values(self, body: LifetimeValuesRequest, /) -> LifetimeValuesAnswer:
        """Value up to 1000 customers, in the order given; one who is not known is `unknown`, not an error."""
        served = self.parts.model(MODEL)
        horizon = body.horizon_days or served.model.horizon_days
        rows = self.parts.read(body.customer_ids, list(served.model.references))
        table = value_table(served, rows, horizon)
        values = [
            LifetimeValue(
                customer_id=customer_id,
                status=table.status[row],
                expected_value=table.expected_value[row],
                interval=interval(table.low[row], table.high[row]),
                expected_orders=table.expected_orders[row],
                probability_active=table.probability_active[row],
                value_tier=table.tier[row],
                reasons=because(table.reasons[row]),
            )
            for row, customer_id in enumerate(body.customer_ids)
        ]
        return LifetimeValuesAnswer(
            values=values,
            horizon_days=horizon,
            value_of=served.model.value_of,
            model=ModelLabel(**served.label),
            features_as_of=rows.as_of,
        )


def interval(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)

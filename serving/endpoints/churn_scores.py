"""POST /v1/churn-scores: how likely customers are to order nothing within the horizon."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import bentoml

from serving.operations import Answer, Body, Endpoint, allowed
from serving.scoring import churn_table, few
from serving.shapes import Because, CustomerIds, ModelLabel, because

MODEL = "patron-churn"
Status = Literal["scored", "unknown", "insufficient_history", "already_churned"]


class ChurnScoresRequest(Body):
    customer_ids: CustomerIds


class ChurnScore(Answer):
    customer_id: str
    status: Status
    churn_probability: float | None
    """Null unless the status is `scored`, as are the risk and the date."""
    risk: Literal["low", "medium", "high"] | None
    expected_next_order_at: datetime | None
    reasons: list[Because]
    model: ModelLabel
    features_as_of: datetime | None


class ChurnScoresAnswer(Answer):
    scores: list[ChurnScore]
    horizon_days: int
    """What the probability is about: no order within so many days."""


class ChurnScores(Endpoint):
    @bentoml.api(route="/v1/churn-scores")
    @allowed("crm", quick=few)
    def churn_scores(self, body: ChurnScoresRequest, /) -> ChurnScoresAnswer:
        """Score up to 1000 customers, in the order given; one who is not known is `unknown`, not an error."""
        served = self.parts.model(MODEL)
        rows = self.parts.read(body.customer_ids, list(served.model.references))
        table, label = churn_table(served, rows), ModelLabel(**served.label)
        scores = [
            ChurnScore(
                customer_id=customer_id,
                status=table.status[row],
                churn_probability=table.probability[row],
                risk=table.risk[row],
                expected_next_order_at=table.next_order_at[row],
                reasons=because(table.reasons[row]),
                model=label,
                features_as_of=rows.as_of,
            )
            for row, customer_id in enumerate(body.customer_ids)
        ]
        return ChurnScoresAnswer(scores=scores, horizon_days=served.model.horizon_days)

"""POST /v1/rankings: a page's own products, in the order that suits the customer."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Literal

import bentoml
from pydantic import Field

from patron.errors import FeatureError
from patron.models.base import CustomerHistory
from serving.operations import Answer, Body, Endpoint, allowed
from serving.shapes import Id, Item, ModelLabel, items
from serving.storefront import Question, bought, recorded

log = logging.getLogger(__name__)


class RankingsRequest(Body):
    customer_id: Id | None = None
    session_id: Id | None = None
    product_ids: Annotated[list[Id], Field(min_length=1, max_length=500)]
    explain: bool = False


class RankingsAnswer(Answer):
    recommendation_id: str
    items: list[Item]
    """Each product once, best first: those out of stock and then those unknown come last, score 0."""
    model: ModelLabel
    features_as_of: datetime | None
    experiment: str | None = None
    degraded: bool
    fallback: Literal["popular"] | None
    """popular: the customer is not known, so that what most buy comes first."""


class Rankings(Endpoint):
    @bentoml.api(route="/v1/rankings")
    @allowed("storefront")
    def rankings(self, body: RankingsRequest, /) -> RankingsAnswer:
        """Rank up to 500 products for a customer; the same products come back."""
        question = Question(
            self.parts, placement="rankings", customer_id=body.customer_id, session_id=body.session_id
        )
        known = history(question)
        found = question.blend.rank(known, body.product_ids, body.explain)
        fallback: Literal["popular"] | None = None if len(known) else "popular"
        return RankingsAnswer(
            recommendation_id=recorded(question, found, fallback or "personal"),
            items=items(found, body.explain),
            model=ModelLabel(**question.served.label),
            features_as_of=question.as_of,
            degraded=question.degraded,
            fallback=fallback,
        )


def history(question: Question) -> CustomerHistory:
    """What the customer bought; nothing where that cannot be read."""
    try:
        return bought(question)
    except FeatureError:
        log.warning("Features could not be read; ranking without the customer's history", exc_info=True)
        question.degraded = True
        return CustomerHistory.empty()

"""POST /v1/recommendations: products for a customer, a page or a basket."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

import bentoml
from pydantic import Field

from patron.errors import FeatureError
from patron.models.base import HISTORY, PROFILE, CustomerHistory, Recommendation, history
from patron.models.sources import STRANGERS
from serving.operations import Answer, Body, Endpoint, allowed
from serving.shapes import Id, Item, ModelLabel, ProductFilter, ProductIds, items

MODEL = "patron-recommender"
REFERENCES = [*HISTORY, *PROFILE, "customer_profile:consent_recommend"]
BASKETS = {"cart", "checkout", "basket"}

Fallback = Literal["session", "similar", "regional", "popular"]
log = logging.getLogger(__name__)


class RecommendationsRequest(Body):
    customer_id: Id | None = None
    session_id: Id | None = None
    placement: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")] = "home"
    product_ids: ProductIds = Field(default_factory=list)
    """What is on the page or in the basket: context, never answered."""
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    filter: ProductFilter = ProductFilter()
    exclude_product_ids: ProductIds = Field(default_factory=list)
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0: best first; towards 1 the categories alternate."""
    explain: bool = False


class RecommendationsAnswer(Answer):
    recommendation_id: str
    items: list[Item]
    model: ModelLabel
    features_as_of: datetime | None
    experiment: str | None = None
    degraded: bool
    """True only when something is broken."""
    fallback: Fallback | None
    """What answered instead of the personal model; null where that answered."""


class Recommendations(Endpoint):
    @bentoml.api(route="/v1/recommendations")
    @allowed("storefront")
    def recommendations(self, body: RecommendationsRequest, /) -> RecommendationsAnswer:
        """Recommend products: personal for a known customer, else similar to the page, else popular."""
        served = self.parts.model(MODEL)
        bought, degraded = self._history(body.customer_id)
        found, fallback = choose(served.model, bought, body)
        return RecommendationsAnswer(
            recommendation_id=str(uuid.uuid4()),
            items=items(found, body.explain),
            model=ModelLabel(**served.label),
            features_as_of=self.parts.as_of,
            degraded=degraded,
            fallback=fallback,
        )

    def _history(self, customer_id: str | None) -> tuple[CustomerHistory, bool]:
        """What the customer bought, as far as known and agreed to; True if the store failed."""
        if customer_id is None:
            return CustomerHistory.empty(), False
        try:
            return history_of(self.parts.read([customer_id], REFERENCES).columns), False
        except FeatureError:
            log.warning("Features could not be read; answering without the customer's history", exc_info=True)
            return CustomerHistory.empty(), True


def history_of(columns: Any, row: int = 0) -> CustomerHistory:
    """The stored purchases of one row; empty for a customer who does not want personal recommendations."""

    consent = columns["consent_recommend"][row] if "consent_recommend" in columns else None
    if consent is False or "own_product_ids" not in columns:
        return CustomerHistory.empty()
    return history(columns, row)


def choose(
    blend: Any, bought: CustomerHistory, body: RecommendationsRequest
) -> tuple[list[Recommendation], Fallback | None]:
    """The best products and what answered, if it was not the personal model."""
    personal = len(bought) > 0
    found = blend.recommend(
        bought,
        body.limit,
        allowed=body.filter.mask(blend.catalogue),
        exclude=body.exclude_product_ids,
        placement=body.placement if personal else page(body),
        explain=body.explain,
        context_product_ids=body.product_ids,
        diversity=body.diversity,
    )
    return found, fallback(found, personal)


def page(body: RecommendationsRequest) -> str:
    """The placement that answers a stranger: from the page or the basket, if one was named."""
    if not body.product_ids:
        return "home"
    return "cart" if body.placement in BASKETS else "product"


def fallback(found: list[Recommendation], personal: bool) -> Fallback | None:
    if all(each.source == "popularity" for each in found):
        return None if personal and not found else "popular"
    if personal:
        return None
    return "regional" if any(each.source == STRANGERS for each in found) else "similar"

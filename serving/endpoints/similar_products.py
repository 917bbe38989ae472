"""POST /v1/similar-products: what is like a product, or bought with it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import bentoml

from serving.operations import Answer, Body, Endpoint, allowed
from serving.shapes import Id, Item, Limit, ModelLabel, ProductFilter, items
from serving.storefront import Question, recorded


class SimilarProductsRequest(Body):
    product_id: Id
    kind: Literal["similar", "bought_together"] = "similar"
    limit: Limit = 10
    filter: ProductFilter = ProductFilter()


class SimilarProductsAnswer(Answer):
    recommendation_id: str
    items: list[Item]
    model: ModelLabel
    features_as_of: datetime | None
    experiment: str | None = None
    degraded: bool = False
    fallback: Literal["popular"] | None
    """popular: the product is unknown or has no neighbours that pass the filter."""


class SimilarProducts(Endpoint):
    @bentoml.api(route="/v1/similar-products")
    @allowed("storefront")
    def similar_products(self, body: SimilarProductsRequest, /) -> SimilarProductsAnswer:
        """List products that the same customers buy (similar) or that stand in the same orders."""
        question = Question(self.parts, placement=body.kind)
        blend = question.blend
        found = blend.similar(
            body.product_id, body.kind, body.limit, allowed=body.filter.mask(blend.catalogue)
        )
        only_popular = all(each.source == "popularity" for each in found)
        fallback: Literal["popular"] | None = "popular" if only_popular else None
        return SimilarProductsAnswer(
            recommendation_id=recorded(question, found, fallback or "similar"),
            items=items(found),
            model=ModelLabel(**question.served.label),
            features_as_of=question.as_of,
            degraded=question.degraded,
            fallback=fallback,
        )

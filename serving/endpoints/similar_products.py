"""POST /v1/similar-products: what is like a product, or bought with it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

import bentoml
from pydantic import Field

from serving.endpoints.recommendations import MODEL
from serving.operations import Answer, Body, Endpoint, allowed
from serving.shapes import Id, Item, ModelLabel, ProductFilter, items


class SimilarProductsRequest(Body):
    product_id: Id
    kind: Literal["similar", "bought_together"] = "similar"
    limit: Annotated[int, Field(ge=1, le=100)] = 10
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
        served = self.parts.model(MODEL)
        blend = served.model
        found = blend.similar(
            body.product_id, body.kind, body.limit, allowed=body.filter.mask(blend.catalogue)
        )
        return SimilarProductsAnswer(
            recommendation_id=str(uuid.uuid4()),
            items=items(found),
            model=ModelLabel(**served.label),
            features_as_of=self.parts.as_of,
            fallback="popular" if all(each.source == "popularity" for each in found) else None,
        )

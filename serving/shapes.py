"""Shapes that several endpoints answer with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from patron.models.base import Reason
from serving.operations import Answer

MAX_IDS = 1000


def whole(value: Any) -> Any:
    """10.0 is an integer to JSON Schema."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(whole)
"""Stands last, so that bounds before it are told in the document."""
Limit = Annotated[int, Field(ge=1, le=100), WHOLE]
Id = Annotated[str, Field(min_length=1, max_length=200)]
CustomerIds = Annotated[list[Id], Field(min_length=1, max_length=MAX_IDS)]
ProductIds = Annotated[list[Id], Field(max_length=100)]


def as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


A_NAME = {"type": "string", "minLength": 1, "maxLength": 200}
Names = Annotated[
    list[Id],
    Field(max_length=100),
    BeforeValidator(as_list),
    WithJsonSchema({"anyOf": [A_NAME, {"type": "array", "items": A_NAME, "maxItems": 100}]}),
]
"""One name or several."""


class Because(Answer):
    """Why: a code for machines, words for people, and the product that it is about, if any."""

    code: str
    text: str
    product_id: str | None = None


class ModelLabel(Answer):
    name: str
    version: str


class Item(Answer):
    product_id: str
    score: float
    rank: int
    source: str
    reasons: list[Because]


class ProductFilter(BaseModel):
    """Which products may be answered; applied before the best are chosen, so that `limit` is met."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    category: Names | None = None
    brand: Names | None = None
    min_price: Annotated[float, Field(ge=0)] | None = None
    max_price: Annotated[float, Field(ge=0)] | None = None
    in_stock: bool | None = None

    @property
    def empty(self) -> bool:
        return self.category is self.brand is self.min_price is self.max_price is None

    def mask(self, catalogue: Any) -> Any:
        """Products of the catalogue that pass, shape (n,); None where all that can be sold do."""
        if self.empty:
            return None
        return catalogue.allowed(
            categories=self.category,
            brands=self.brand,
            min_price=self.min_price,
            max_price=self.max_price,
            in_stock_only=self.in_stock is not False,
        )


def because(reasons: Iterable[Reason]) -> list[Because]:
    made = Because.model_construct  # of our own making: nothing to validate
    return [made(code=each.code, text=each.text, product_id=each.product_id) for each in reasons]


def items(recommendations: Iterable[Any], explain: bool = True, offset: int = 0) -> list[Item]:
    """Recommendations, best first, with ranks from 1 after the `offset` that earlier pages held."""
    return [
        Item.model_construct(
            product_id=each.product_id,
            score=each.score,
            rank=rank,
            source=each.source,
            reasons=because(each.reasons) if explain else [],
        )
        for rank, each in enumerate(recommendations, start=offset + 1)
    ]

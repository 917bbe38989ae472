"""PUT /v1/products/{id}, /v1/customers/{id}, /v1/offers/{id}: what the shop changes, effective at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field, JsonValue

from patron.errors import EventLogError
from patron.events.log import Kind
from patron.events.validation import LARGEST, LONGEST, UNPRINTABLE
from patron.lake.contract import OFFER_KINDS
from patron.offers.terms import NONE
from serving.operations import Answer, Body, Operation
from serving.problems import Problem, unavailable

if TYPE_CHECKING:
    from serving.bootstrap import Parts

PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*$"
Text = Annotated[str, Field(min_length=1, max_length=LONGEST["text"], pattern=PLAIN)]
Short = Annotated[str, Field(min_length=1, max_length=100, pattern=PLAIN)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST["id"], pattern=PLAIN)]
Money = Annotated[float, Field(ge=0, lt=LARGEST)]
Names = Annotated[list[Name], Field(max_length=500)]


class ProductUpdate(Body):
    """New values of a product. Fields left out stay as they are; null takes a value away."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    title: Text | None = None
    category: Short | None = None
    brand: Short | None = None
    price: Money | None = None
    unit_cost: Money | None = None
    in_stock: bool | None = None
    visible: bool | None = None
    available_from: AwareDatetime | None = None


class CustomerUpdate(Body):
    """New values of a customer. Consents are changed elsewhere."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    signed_up_at: AwareDatetime | None = None
    birthday: date | None = None
    tier: Text | None = None
    region: Text | None = None
    attributes: dict[str, JsonValue] | None = None


class OfferUpdate(Body):
    """New values of an offer."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    name: Text | None = None
    kind: Literal[OFFER_KINDS] | None = None  # type: ignore[valid-type]
    cost: Money | None = None
    product_ids: Names | None = None
    channels: Names | None = None
    min_tier: Text | None = None
    valid_from: AwareDatetime | None = None
    valid_to: AwareDatetime | None = None
    budget: Money | None = None
    daily_cap: Annotated[float, Field(ge=0, lt=LARGEST)] | None = None


class UpdateAnswer(Answer):
    update: int
    """Number of the update; a later one has a higher number."""


def put_product(parts: Parts, product_id: str, body: ProductUpdate) -> UpdateAnswer:
    return put(parts, "products", product_id, body)


def put_customer(parts: Parts, customer_id: str, body: CustomerUpdate) -> UpdateAnswer:
    return put(parts, "customers", customer_id, body)


def put_offer(parts: Parts, offer_id: str, body: OfferUpdate) -> UpdateAnswer:
    if offer_id.strip() == NONE:
        raise Problem(409, "reserved", f"No offer is called '{NONE}': that is what making none is called.")
    return put(parts, "offers", offer_id, body)


def put(parts: Parts, table: Kind, id: str, body: Body) -> UpdateAnswer:
    """Write the fields that were given into the log. Raises Problem: 422, or 503 where nothing is written."""
    if not body.model_fields_set:
        raise Problem(422, "invalid", "The body names no field to change.")
    if not id.strip() or len(id) > LONGEST["id"] or UNPRINTABLE.search(id):
        detail = f"The id in the path is empty, holds control characters or exceeds {LONGEST['id']} of them."
        raise Problem(422, "invalid", detail)
    try:
        values = body.model_dump(mode="json", include=body.model_fields_set)
        return UpdateAnswer(update=parts.events.update(table, id.strip(), values))
    except ValueError:
        raise Problem(422, "invalid", "A number in the body is infinite or none.") from None
    except EventLogError as error:
        raise unavailable("event_log", "The update could not be stored. Send it again.", 5) from error


def operation(
    name: str,
    function: Any,
    path: str,
    request: type[Body],
    summary: str,
    effective: str,
    problems: tuple[int, ...] = (),
) -> Operation:
    key = path.rpartition("{")[2].rstrip("}")

    def handle(parts: Parts, values: Mapping[str, str], body: Any) -> UpdateAnswer:
        answer: UpdateAnswer = function(parts, values[key], body)
        return answer

    return Operation(
        name=name,
        method="PUT",
        path=path,
        scopes=frozenset({"crm", "admin"}),
        answer=UpdateAnswer,
        handle=handle,
        request=request,
        summary=f"{summary} On disk before it is answered, and {effective}.",
        problems=(400, 413, 415, 422, *problems),
    )


with_features = partial(operation, effective="in the features after the next build")
PRODUCT = operation(
    "put_product",
    put_product,
    "/v1/products/{product_id}",
    ProductUpdate,
    "Change a product: price, stock, visibility, title, category, brand.",
    "effective on the next answer",
)
CUSTOMER = with_features(
    "put_customer",
    put_customer,
    "/v1/customers/{customer_id}",
    CustomerUpdate,
    "Change what is known of a customer.",
)
OFFER = operation(
    "put_offer",
    put_offer,
    "/v1/offers/{offer_id}",
    OfferUpdate,
    "Change an offer.",
    "effective on the next decision",
    (409,),
)
OPERATIONS = (PRODUCT, CUSTOMER, OFFER)

"""POST /v1/events and the PUT routes: what is answered, and that it is in the log by then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from patron.errors import EventLogError
from patron.events.log import EventLog
from patron.events.quarantine import quarantined
from serving.endpoints.events import MAX_EVENTS, Events, EventsRequest
from serving.endpoints.updates import OPERATIONS, put_customer, put_offer, put_product
from serving.problems import Problem


@dataclass
class Shop:
    events: EventLog


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(EventLog(tmp_path))
    yield opened
    opened.events.close()


def raw(number: int = 1, **more: Any) -> dict[str, Any]:
    at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    return {"event_id": f"e{number}", "occurred_at": at, "name": "view_item", "session_id": "s", **more}


def post(shop: Any, *events: Any) -> dict[str, Any]:
    endpoint = Events()
    endpoint.parts = shop
    answer: dict[str, Any] = Events.events.func(endpoint, EventsRequest(events=list(events))).model_dump()
    return answer


def test_events_are_in_the_log_when_they_are_answered(shop: Shop):
    assert post(shop, raw(1), raw(2), raw(1)) == {"accepted": 2, "duplicates": 1, "rejected": []}
    assert [each.event_id for each in shop.events.recent(None, "s")] == ["e1", "e2"]
    assert post(shop, raw(2)) == {"accepted": 0, "duplicates": 1, "rejected": []}


def test_the_bad_are_told_and_kept_and_the_good_accepted(shop: Shop):
    found = post(shop, raw(1), {"event_id": "secret"}, raw(2, value="much"), 7)
    assert (found["accepted"], found["duplicates"]) == (1, 0)
    assert [(each["index"], each["code"]) for each in found["rejected"]] == [
        (1, "missing"),
        (2, "not_a_number"),
        (3, "not_an_object"),
    ]
    assert "secret" not in str(found)
    assert len(quarantined(shop.events)) == 3


@pytest.mark.parametrize("body", ["{}", '{"events": 3}', '{"events": [], "more": 1}', '{"events": {"a": 1}}'])
def test_another_shape_is_no_request(body):
    with pytest.raises(ValidationError):
        EventsRequest.model_validate_json(body)


def test_there_are_at_most_500():
    assert len(EventsRequest(events=[1] * MAX_EVENTS).events) == 500
    with pytest.raises(ValidationError):
        EventsRequest(events=[1] * 501)


def test_a_good_answer_says_202():
    assert (Events.events.func.status, Events.events.func.scopes) == (202, {"storefront"})


class Broken:
    """A log whose disk is full."""

    def __getattr__(self, name: str) -> Any:
        raise EventLogError("full")


def test_what_cannot_be_stored_is_to_be_sent_again():
    with pytest.raises(Problem) as caught:
        post(Shop(Broken()), raw())  # type: ignore[arg-type]
    assert (caught.value.status, caught.value.code) == (503, "event_log")


# Updates

PRODUCT, CUSTOMER, OFFER = (each.request for each in OPERATIONS)


def parsed(request: Any, body: str) -> Any:
    return request.model_validate_json(body)


def test_only_the_fields_given_are_written(shop: Shop):
    number = put_product(shop, "p1", parsed(PRODUCT, '{"price": 3, "in_stock": false}')).update
    put_product(shop, "p1", parsed(PRODUCT, '{"title": null, "available_from": "2024-01-01T02:00:00+02:00"}'))
    [first, second] = shop.events.updates("products", 0)
    assert first == (number, "p1", {"price": 3.0, "in_stock": False})
    assert second[2]["title"] is None
    assert datetime.fromisoformat(second[2]["available_from"]) == datetime(2024, 1, 1, tzinfo=UTC)


def test_customers_and_offers_have_fields_of_their_own(shop: Shop):
    put_customer(shop, "ann", parsed(CUSTOMER, '{"birthday": "1990-05-01", "attributes": {"a": [1, null]}}'))
    put_offer(shop, "o", parsed(OFFER, '{"kind": "coupon", "channels": ["web"]}'))
    assert shop.events.updates("customers", 0)[0][2] == {
        "birthday": "1990-05-01",
        "attributes": {"a": [1, None]},
    }
    assert shop.events.updates("offers", 0)[0][2] == {"kind": "coupon", "channels": ["web"]}


@pytest.mark.parametrize(
    ("request_type", "body"),
    [
        (PRODUCT, '{"price": -1}'),
        (PRODUCT, '{"price": "3"}'),
        (PRODUCT, '{"price": NaN}'),
        (PRODUCT, '{"price": 1e300}'),
        (PRODUCT, '{"in_stock": "yes"}'),
        (PRODUCT, '{"title": ""}'),
        (PRODUCT, '{"title": "a\\u0000b"}'),
        (PRODUCT, '{"available_from": "2024-01-01T00:00:00"}'),
        (PRODUCT, '{"colour": "red"}'),
        (CUSTOMER, '{"consent_offers": true}'),
        (OFFER, '{"kind": "bribe"}'),
    ],
)
def test_what_does_not_fit_the_contract_is_refused(request_type, body):
    with pytest.raises(ValidationError):
        parsed(request_type, body)


@pytest.mark.parametrize("id", ["", "  ", "a\nb", "x" * 201])
def test_an_id_is_a_short_line_of_text(shop: Shop, id: str):
    with pytest.raises(Problem) as caught:
        put_product(shop, id, parsed(PRODUCT, '{"price": 1}'))
    assert caught.value.status == 422


def test_an_update_changes_something_and_holds_numbers(shop: Shop):
    for request, body in ((PRODUCT, "{}"), (CUSTOMER, '{"attributes": {"a": NaN}}')):
        try:
            found = parsed(request, body)
        except ValidationError:
            continue
        with pytest.raises(Problem) as caught:
            put_product(shop, "p", found)
        assert caught.value.status == 422
    assert shop.events.updates("products", 0) == []


def test_the_routes_are_told_from_one_another():
    assert [(each.method, each.path) for each in OPERATIONS] == [
        ("PUT", "/v1/products/{product_id}"),
        ("PUT", "/v1/customers/{customer_id}"),
        ("PUT", "/v1/offers/{offer_id}"),
    ]
    assert OPERATIONS[0].pattern.fullmatch("/v1/products/p1")


def test_the_handlers_take_the_id_from_the_path(shop: Shop):
    for each, key in zip(OPERATIONS, ("product_id", "customer_id", "offer_id"), strict=True):
        body = (
            parsed(each.request, '{"name": "x"}' if key == "offer_id" else '{"tier": "x"}')
            if key != ("product_id")
            else parsed(each.request, '{"price": 1}')
        )
        each.handle(shop, {key: "the-id"}, body)
    assert [shop.events.updates(each, 0)[0][1] for each in ("products", "customers", "offers")] == [
        "the-id"
    ] * 3

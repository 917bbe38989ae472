"""One event at a time: what is valid, and what is said of what is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patron.events.event import Event
from patron.events.validation import Refusal, judge
from patron.lake.contract import EVENT_NAMES

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
GOOD = {"event_id": "e1", "occurred_at": "2026-01-31T11:00:00Z", "name": "view_item", "session_id": "s1"}


def code(**changes: Any) -> str:
    found = judge({**GOOD, **changes}, NOW)
    return found.code if isinstance(found, Refusal) else "good"


def test_a_good_event_is_taken_as_it_is():
    raw = GOOD | {"customer_id": "ann", "product_id": "p", "query": "tea", "value": 3, "currency": "EUR"}
    assert judge(raw, NOW) == Event(
        event_id="e1",
        occurred_at=NOW - timedelta(hours=1),
        name="view_item",
        customer_id="ann",
        session_id="s1",
        product_id="p",
        query="tea",
        value=3.0,
        currency="EUR",
    )


@pytest.mark.parametrize("name", EVENT_NAMES)
def test_every_name_of_the_contract_is_known(name):
    assert code(name=name) == "good"


def test_offsets_become_utc():
    found = judge({**GOOD, "occurred_at": "2026-01-31T13:00:00.5+02:00"}, NOW)
    assert isinstance(found, Event)
    assert found.occurred_at == datetime(2026, 1, 31, 11, 0, 0, 500_000, UTC)


def test_null_is_absent_and_spaces_around_are_dropped():
    found = judge({**GOOD, "customer_id": None, "product_id": " p1 "}, NOW)
    assert isinstance(found, Event)
    assert (found.customer_id, found.product_id) == (None, "p1")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"event_id": None}, "missing"),
        ({"name": None}, "missing"),
        ({"occurred_at": None}, "missing"),
        ({"session_id": None}, "nobody"),
        ({"event_id": 7}, "not_text"),
        ({"event_id": ["a"]}, "not_text"),
        ({"event_id": ""}, "empty"),
        ({"product_id": "   "}, "empty"),
        ({"event_id": "e" * 200}, "good"),
        ({"event_id": "e" * 201}, "too_long"),
        ({"query": "q" * 501}, "too_long"),
        ({"product_id": "a\x00b"}, "control_characters"),
        ({"query": "a\nb"}, "control_characters"),
        ({"query": "a\u0085b"}, "control_characters"),
        ({"query": "a\ud800b"}, "control_characters"),
        ({"name": "explode"}, "unknown_value"),
        ({"colour": "red"}, "unknown_field"),
        ({"occurred_at": "yesterday"}, "not_a_time"),
        ({"occurred_at": 1769860800}, "not_a_time"),
        ({"occurred_at": True}, "not_a_time"),
        ({"occurred_at": "2026-01-31T11:00:00"}, "no_time_zone"),
        ({"occurred_at": "2026-01-31"}, "no_time_zone"),
        ({"occurred_at": "2026-01-31T12:04:59Z"}, "good"),
        ({"occurred_at": "2026-01-31T12:05:01Z"}, "in_the_future"),
        ({"occurred_at": "1969-12-31T23:59:59Z"}, "too_old"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "not_a_time"),
        ({"value": "3"}, "not_a_number"),
        ({"value": True}, "not_a_number"),
        ({"value": float("nan")}, "out_of_range"),
        ({"value": float("inf")}, "out_of_range"),
        ({"value": 10**400}, "out_of_range"),
        ({"value": -5.5}, "good"),
    ],
)
def test_each_fault_has_its_code(changes, expected):
    assert code(**changes) == expected


@pytest.mark.parametrize("raw", [None, 3, "view_item", [], [GOOD], True])
def test_what_is_no_object_is_no_event(raw):
    found = judge(raw, NOW)
    assert isinstance(found, Refusal)
    assert found.code == "not_an_object"


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()))


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
@given(st.dictionaries(st.sampled_from([*GOOD, "value", "query", "x"]), VALUES))
def test_anything_at_all_can_be_judged(raw):
    assert isinstance(judge(raw, NOW), (Event, Refusal))
    assert isinstance(judge(GOOD | raw, NOW), (Event, Refusal))


def test_no_value_stands_in_a_reason():
    for field in GOOD:
        found = judge({**GOOD, field: "secret-4711\x00"}, NOW)
        assert isinstance(found, Refusal)
        assert "4711" not in json.dumps([found.code, found.detail])
    found = judge({**GOOD, "secret-4711": 1}, NOW)
    assert isinstance(found, Refusal)
    assert "4711" not in found.detail

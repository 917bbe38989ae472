"""POST /v1/events: what customers do, judged one by one, on disk before it is answered."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Any

import bentoml
from pydantic import Field, WithJsonSchema

from patron.errors import EventLogError, PatronError
from patron.events.quarantine import receive
from patron.events.validation import COLUMNS, GRACE, LARGEST, LONGEST
from patron.lake.contract import Column
from serving.deciding import budgets
from serving.operations import Answer, Body, Endpoint, allowed
from serving.problems import unavailable

MAX_EVENTS = 500
OF_DECISIONS = ("offer_accepted", "offer_declined", "purchase")
log = logging.getLogger(__name__)


def described() -> dict[str, Any]:
    """The JSON schema of one event. It forbids nothing: what does not fit it is answered in `rejected`."""
    required = [name for name, column in COLUMNS.items() if column.required]
    return {
        "title": "Event",
        "description": (
            f"Required: {', '.join(required)}, and customer_id or session_id. Each event is judged by itself."
        ),
        "examples": [
            {
                "event_id": "0197f1c2-7a53-7c3e-b2f0-1a5f0a1c9b11",
                "occurred_at": "2026-01-31T12:00:00Z",
                "name": "view_item",
                "session_id": "s-81",
                "product_id": "p-7",
            }
        ],
        "x-fields": {name: meaning(column) for name, column in COLUMNS.items()},
    }


def meaning(column: Column) -> str:
    if column.values:
        return f"one of {', '.join(column.values)}"
    if column.kind == "time":
        return f"RFC 3339 time with an offset, at most {GRACE.seconds // 60} minutes ahead"
    if column.kind == "money":
        return f"number between -{LARGEST:g} and {LARGEST:g}"
    return f"string of 1 to {LONGEST[column.kind]} characters, no control characters"


class EventsRequest(Body):
    events: Annotated[list[Annotated[Any, WithJsonSchema(described())]], Field(max_length=MAX_EVENTS)]


class Rejected(Answer):
    """An event that was not accepted; it lies in the quarantine."""

    index: int
    code: str
    detail: str


class EventsAnswer(Answer):
    accepted: int
    duplicates: int
    """Events whose event_id had been accepted before, in this request or ever."""
    rejected: list[Rejected]


class Events(Endpoint):
    @bentoml.api(route="/v1/events")
    @allowed("storefront", status=202)
    def events(self, body: EventsRequest, /) -> EventsAnswer:
        """Take events. They are on disk before they are answered; each is judged by itself."""
        try:
            outcome = receive(self.parts.events, body.events, datetime.now(UTC))
        except EventLogError as error:
            raise unavailable("event_log", "The events could not be stored. Send them again.", 5) from error
        if outcome.accepted and any(answers_an_offer(each) for each in body.events):
            self._book()
        return EventsAnswer(
            accepted=outcome.accepted,
            duplicates=outcome.duplicates,
            rejected=[
                Rejected(index=place, code=refusal.code, detail=refusal.detail)
                for place, refusal in outcome.refused
            ],
        )

    def _book(self) -> None:
        """Let budgets and counts follow. What fails is made up for before the next decision of any worker."""
        try:
            self.parts.decisions.catch_up(budgets(self.parts))
        except PatronError:
            log.warning("What came of offers could not be booked yet", exc_info=True)


def answers_an_offer(raw: Any) -> bool:
    return isinstance(raw, dict) and raw.get("name") in OF_DECISIONS and bool(raw.get("decision_id"))

"""POST /v1/retention-actions: whom a team should contact with what, for a budget, and whom to leave alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

import bentoml
from pydantic import ConfigDict, Field, model_validator

from patron.decisions.ledger import ChooseAll, Refused
from patron.decisions.purse import Purse
from patron.decisions.records import Asked, Choice, Circumstances, Decided
from patron.errors import EventLogError
from patron.events.validation import LARGEST
from patron.offers.catalogue import Catalogue
from patron.offers.terms import OfferTerms
from serving.best_offers import references
from serving.deciding import CHAMPION, MODEL, catalogue_of, circumstances, not_logged, questions, trial
from serving.endpoints.next_best_offers import Channel
from serving.operations import Answer, Body, Endpoint, allowed
from serving.problems import unavailable
from serving.retention import LEAVE_ALONE, Plan, saved
from serving.score_history import members
from serving.shapes import MAX_IDS, WHOLE, Because, CustomerIds, ModelLabel

VALUE = "patron-lifetime-value"
POLICY = "retention"


EITHER: list[Any] = [
    {
        "required": [one],
        "properties": {one: {"type": kind}, other: {"type": "null"}},
    }
    for one, kind, other in (("customer_ids", "array", "segment"), ("segment", "string", "customer_ids"))
]


class RetentionActionsRequest(Body):
    model_config = ConfigDict(json_schema_extra={"oneOf": EITHER})

    customer_ids: CustomerIds | None = None
    segment: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """In place of ids: of the last scoring, the members with the most value at risk."""
    budget: Annotated[float, Field(ge=0, lt=LARGEST)]
    channel: Channel | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_IDS), WHOLE] = MAX_IDS
    """Customers to contact, at most."""
    dry_run: bool = False
    """Only tell: nothing is decided, held or logged."""
    idempotency_key: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The same key gives the list that was decided under it again: for a retry after a lost answer."""

    @property
    def key(self) -> str | None:
        """What the ledger remembers the list by; other endpoints have keys of their own."""
        return None if self.dry_run or self.idempotency_key is None else f"{POLICY} {self.idempotency_key}"

    @model_validator(mode="after")
    def names_customers(self) -> Self:
        if (self.customer_ids is None) == (self.segment is None):
            raise ValueError("Give either customer_ids or segment.")
        return self


class Action(Answer):
    customer_id: str
    action: str
    """The kind of the offer, or `leave_alone`."""
    offer_id: str
    """`none` for who is left alone."""
    priority: int
    """1 saves the most."""
    expected_value_saved: float
    """In the shop's currency, the cost of the offer taken off."""
    reasons: list[Because]
    decision_id: str | None
    """Null in a dry run."""
    expires_at: datetime | None
    """Until when the offer may be taken up; null in a dry run, which holds nothing."""


class RetentionActionsAnswer(Answer):
    actions: list[Action]
    """One a customer, those to contact first."""
    budget: float
    taken: float
    """Of the budget, by offers that were spent or are held."""
    budget_price: float | None
    """Value that one more unit of budget would have saved. Null where nothing was given out: of a retry, and
    where nobody or no offer was there."""
    expected_value_saved: float
    dry_run: bool
    models: list[ModelLabel]
    features_as_of: datetime | None


class RetentionActions(Endpoint):
    @bentoml.api(route="/v1/retention-actions")
    @allowed("crm")
    def retention_actions(self, body: RetentionActionsRequest, /) -> RetentionActionsAnswer:
        """Give offers out under a budget by the value that each saves, and rank the customers."""
        parts, served = self.parts, self.parts.model(MODEL)
        value = parts.models.get(VALUE)
        catalogue = catalogue_of(parts, served.model)
        ids = self._customers(body)
        read = [*served.model.references, *(value.model.references if value else ())]
        rows = parts.read(ids, list(dict.fromkeys([*read, *references(catalogue.offers)])))
        asked = questions(catalogue, served.model, rows, parts.now(), body.channel)
        asked, withheld = self._tried([each.under(body.key) for each in asked], body.dry_run)
        worth = served.model.worth(rows.columns, catalogue.offers)
        plan = Plan(
            policy=served.model,
            worth=worth,
            saved=saved(served.model, worth, rows, value),
            budget=body.budget,
            limit=body.limit,
            withheld=withheld,
            resting=[served.model.alone(each.customer_id, parts.now()) for each in asked],
        )
        around = circumstances(parts, served, rows, body.channel, POLICY)
        decided = self._decide(asked, around, catalogue, plan, body.dry_run)
        return answer(body, plan, asked, decided, [each for each in (served, value) if each], rows.as_of)

    def _customers(self, body: RetentionActionsRequest) -> list[str]:
        """Those of the request; of a retry those of the list that was decided, whoever they are now."""
        try:
            before = self.parts.decisions.customers(body.key) if body.key else []
        except EventLogError as error:
            raise not_logged(error) from error
        ids = before or body.customer_ids or members(self.parts.settings, body.segment or "", MAX_IDS)
        return list(dict.fromkeys(ids))

    def _tried(self, asked: Sequence[Asked], dry_run: bool) -> tuple[list[Asked], list[bool]]:
        """(the questions with their arms, whom an experiment leaves alone: all but the champion's arm).

        A dry run is no exposure.
        """
        if dry_run:
            return list(asked), [False] * len(asked)
        found = [trial(self.parts, each) if each.offers else (each, CHAMPION) for each in asked]
        return [each for each, _ in found], [by != CHAMPION for _, by in found]

    def _decide(
        self,
        asked: Sequence[Asked],
        around: Circumstances,
        catalogue: Catalogue,
        plan: Plan,
        dry_run: bool,
    ) -> list[Decided]:
        if not asked:
            return []
        try:
            choose = whole(plan, len(asked))
            return self.parts.decisions.decide_all(asked, around, catalogue, choose, dry_run)
        except EventLogError as error:
            raise not_logged(error) from error


def whole(plan: Plan, customers: int) -> ChooseAll:
    """The plan, for all of its customers or none: of those who have a decision of the key already none is
    asked for."""

    def choose(found: Sequence[tuple[Sequence[OfferTerms], Refused]], left: Purse) -> Sequence[Choice]:
        if len(found) != customers:
            said = "Another list is being decided under this idempotency_key. Ask again to get it."
            raise unavailable("decision_log", said, 1)
        return plan(found, left)

    return choose


def answer(
    body: RetentionActionsRequest,
    plan: Plan,
    asked: Sequence[Asked],
    decided: Sequence[Decided],
    models: Sequence[Any],
    as_of: datetime | None,
) -> RetentionActionsAnswer:
    """The ranked list. Of a dry run the ids of decisions that were not made are left out."""
    offers = {each.offer_id: (place, each) for place, each in enumerate(plan.worth.offers)}
    found = []
    for row, (one, each) in enumerate(zip(asked, decided, strict=True)):
        shown = each.shown[0]
        place, terms = offers.get(shown.offered.offer_id, (None, None))
        action = Action(
            customer_id=one.customer_id,
            action=terms.kind if terms else LEAVE_ALONE,
            offer_id=shown.offered.offer_id,
            priority=0,
            expected_value_saved=0.0 if place is None else float(plan.saved[row, place]),
            reasons=[Because(**reason) for reason in shown.offered.reasons],
            decision_id=None if body.dry_run else each.decision_id,
            expires_at=None if body.dry_run else shown.expires_at,
        )
        found.append((action, terms.cost if terms else 0.0))
    found.sort(key=lambda each: (each[0].action == LEAVE_ALONE, -each[0].expected_value_saved))
    ranked = [each.model_copy(update={"priority": rank}) for rank, (each, _) in enumerate(found, start=1)]
    return RetentionActionsAnswer(
        actions=ranked,
        budget=body.budget,
        taken=sum(cost for _, cost in found),
        budget_price=plan.found.price if plan.found else None,
        expected_value_saved=sum(each.expected_value_saved for each in ranked),
        dry_run=body.dry_run,
        models=[ModelLabel(**each.label) for each in models],
        features_as_of=as_of,
    )

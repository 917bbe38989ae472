"""GET /v1/customers/{id}: everything that is known of one customer, from one moment."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from serving import profile as parts_of
from serving.bootstrap import Parts
from serving.endpoints import churn_scores, lifetime_values
from serving.endpoints.next_best_offers import Offer
from serving.operations import Answer, Operation
from serving.portraits import MODEL as PORTRAIT
from serving.problems import Problem
from serving.profile import moment
from serving.score_columns import REPLENISHMENT
from serving.storefront import RECOMMENDER


class CustomerProfile(Answer):
    """Parts whose model was not promoted yet are null; `missing` names those models."""

    customer_id: str
    persona: parts_of.Persona | None
    segment: str | None
    segment_reason: str | None
    cluster: str | None
    lifecycle_stage: str | None
    tier: str | None
    """The shop's own where its customers have one, else that of the loyalty rules."""
    loyalty: parts_of.Loyalty | None
    region: str | None
    birthday: date | None
    signed_up_at: datetime | None
    attributes: dict[str, Any] | None
    consent_recommend: bool
    consent_offers: bool
    churn: parts_of.Churn | None
    value: parts_of.Value | None
    expected_next_order_at: datetime | None
    due_products: list[parts_of.DueProduct]
    """What may be needed again soon, the most likely first; nothing for who wants no recommendations."""
    top_products: list[parts_of.TopProduct]
    top_categories: list[parts_of.TopCategory]
    nps: float | None
    """The last answer, 0..10."""
    nps_answered_at: datetime | None
    tickets: parts_of.Tickets | None
    """Null where the shop has no tickets of the customer."""
    next_best_action: Offer | None
    """The offer that the policy holds to be best; nothing is decided or logged by looking."""
    models: dict[str, str]
    missing: list[str]
    features_as_of: datetime | None


def profile(parts: Parts, customer_id: str) -> CustomerProfile:
    """Raises Problem 404 for a customer of whom the store holds nothing."""
    rows = parts.read([customer_id], parts_of.references(parts))
    if not rows.known[0]:
        raise Problem(404, "no_such_customer", "The feature store holds nothing of this customer.")
    columns = {name: values[0] for name, values in rows.columns.items()}
    churn, next_order = parts_of.churn(parts.models.get(churn_scores.MODEL), rows)
    portrait = parts_of.portrait(parts.models.get(PORTRAIT), rows)
    segment, stage, action = parts_of.policy(parts, rows)
    loyalty = parts_of.loyalty(portrait)
    recommendable = columns.get("consent_recommend") is not False
    return CustomerProfile(
        customer_id=customer_id,
        persona=parts_of.persona(portrait),
        segment=portrait.segment[0] if portrait else segment,
        segment_reason=portrait.segment_reason[0] if portrait else None,
        cluster=portrait.cluster[0] if portrait else None,
        lifecycle_stage=portrait.stage[0] if portrait else stage,
        tier=columns.get("tier") or (loyalty.tier if loyalty else None),
        loyalty=loyalty,
        region=columns.get("region"),
        birthday=moment(columns.get("birthday"), date),
        signed_up_at=moment(columns.get("signed_up_at"), datetime),
        attributes=parts_of.attributes(columns.get("attributes")),
        consent_recommend=recommendable,
        consent_offers=columns.get("consent_offers") is not False,
        churn=churn,
        value=parts_of.value(parts.models.get(lifetime_values.MODEL), rows),
        expected_next_order_at=next_order,
        due_products=parts_of.due_products(parts.models.get(REPLENISHMENT), rows) if recommendable else [],
        top_products=parts_of.top_products(parts.models.get(RECOMMENDER), columns),
        top_categories=parts_of.top_categories(columns),
        nps=parts_of.number(columns.get("nps_score")),
        nps_answered_at=moment(columns.get("nps_answered_at"), datetime),
        tickets=parts_of.tickets(columns),
        next_best_action=action,
        models={name: served.version for name, served in sorted(parts.models.items())},
        missing=sorted(parts.missing),
        features_as_of=rows.as_of,
    )


OPERATION = Operation(
    name="customer",
    method="GET",
    path="/v1/customers/{customer_id}",
    scopes=frozenset({"crm"}),
    answer=CustomerProfile,
    handle=lambda parts, values, body: profile(parts, values["customer_id"]),
    summary="Show one customer: portrait, churn, value, what is due, care and best action, from one moment.",
    problems=(404,),
)

"""GET /v1/customers/{id}: everything that is known of one customer, from one moment."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from serving.bootstrap import Parts, Served
from serving.endpoints import churn_scores, lifetime_values, next_best_offers
from serving.endpoints.next_best_offers import Offer, consents, no_offer, offered, tier
from serving.operations import Answer, Operation
from serving.problems import Problem
from serving.scoring import best_action, churn_table, segment_table, value_table
from serving.shapes import Because, because
from serving.storefront import RECOMMENDER

TOP = 5
PROFILE = [
    f"customer_profile:{each}"
    for each in (
        "region",
        "tier",
        "birthday",
        "signed_up_at",
        "consent_recommend",
        "consent_offers",
        "attributes",
    )
]
BOUGHT = ("times_bought", "days_since")
PRODUCTS = [f"customer_product_affinity:own_{each}" for each in ("product_ids", *BOUGHT)]
CATEGORIES = [
    f"customer_category_affinity:category_{each}" for each in ("names", "times_bought", "days_since")
]


class ProfileChurn(Answer):
    status: churn_scores.Status
    churn_probability: float | None
    risk: str | None
    horizon_days: int
    reasons: list[Because]


class ProfileValue(Answer):
    expected_value: float | None
    interval: tuple[float, float] | None
    expected_orders: float | None
    probability_active: float | None
    value_tier: str | None
    horizon_days: int
    reasons: list[Because]


class TopProduct(Answer):
    product_id: str
    title: str | None
    times_bought: int
    days_since: float


class TopCategory(Answer):
    category: str
    times_bought: int
    days_since: float


class CustomerProfile(Answer):
    """Parts whose model was not promoted yet are null; `missing` names those models."""

    customer_id: str
    persona: str | None = None
    segment: str | None
    lifecycle_stage: str | None
    tier: str | None
    region: str | None
    birthday: date | None
    signed_up_at: datetime | None
    attributes: dict[str, Any] | None
    consent_recommend: bool
    consent_offers: bool
    churn: ProfileChurn | None
    value: ProfileValue | None
    expected_next_order_at: datetime | None
    top_products: list[TopProduct]
    top_categories: list[TopCategory]
    nps: float | None = None
    tickets: int | None = None
    next_best_action: Offer | None
    """The offer that the policy holds to be best; nothing is decided or logged by looking."""
    models: dict[str, str]
    missing: list[str]
    features_as_of: datetime | None


def profile(parts: Parts, customer_id: str) -> CustomerProfile:
    """Raises Problem 404 for a customer of whom the store holds nothing."""
    rows = parts.read([customer_id], references(parts))
    if not rows.known[0]:
        raise Problem(404, "no_such_customer", "The feature store holds nothing of this customer.")
    columns = {name: values[0] for name, values in rows.columns.items()}
    churn, next_order = churn_of(parts.models.get(churn_scores.MODEL), rows)
    segment, stage, action = policy_of(parts, rows)
    return CustomerProfile(
        customer_id=customer_id,
        segment=segment,
        lifecycle_stage=stage,
        tier=columns.get("tier"),
        region=columns.get("region"),
        birthday=moment(columns.get("birthday"), date),
        signed_up_at=moment(columns.get("signed_up_at"), datetime),
        attributes=attributes(columns.get("attributes")),
        consent_recommend=columns.get("consent_recommend") is not False,
        consent_offers=columns.get("consent_offers") is not False,
        churn=churn,
        value=value_of(parts.models.get(lifetime_values.MODEL), rows),
        expected_next_order_at=next_order,
        top_products=top_products(parts.models.get(RECOMMENDER), columns),
        top_categories=top_categories(columns),
        next_best_action=action,
        models={name: served.version for name, served in sorted(parts.models.items())},
        missing=sorted(parts.missing),
        features_as_of=rows.as_of,
    )


def references(parts: Parts) -> list[str]:
    """Everything that the profile reads, in one read."""
    found = [*PROFILE, *PRODUCTS, *CATEGORIES, "customer_activity:orders_total"]
    for served in parts.models.values():
        found += getattr(served.model, "references", {})
    return list(dict.fromkeys(found))


def churn_of(served: Served | None, rows: Any) -> tuple[ProfileChurn | None, datetime | None]:
    if served is None:
        return None, None
    table = churn_table(served, rows)
    found = ProfileChurn(
        status=table.status[0],
        churn_probability=table.probability[0],
        risk=table.risk[0],
        horizon_days=served.model.horizon_days,
        reasons=because(table.reasons[0]),
    )
    return found, table.next_order_at[0]


def value_of(served: Served | None, rows: Any) -> ProfileValue | None:
    if served is None:
        return None
    table = value_table(served, rows, served.model.horizon_days)
    return ProfileValue(
        expected_value=table.expected_value[0],
        interval=lifetime_values.interval(table.low[0], table.high[0]),
        expected_orders=table.expected_orders[0],
        probability_active=table.probability_active[0],
        value_tier=table.tier[0],
        horizon_days=served.model.horizon_days,
        reasons=because(table.reasons[0]),
    )


def policy_of(parts: Parts, rows: Any) -> tuple[str | None, str | None, Offer | None]:
    """(segment, lifecycle stage, best action) as the offer policy sees them."""
    served = parts.models.get(next_best_offers.MODEL)
    if served is None:
        return None, None, None
    segments, stages = segment_table(served.model, rows)
    if not consents(rows):
        return segments[0], stages[0], no_offer()
    best = best_action(served.model, segments[0], parts.now(), tier(rows))
    return segments[0], stages[0], offered([best])[0]


def top_products(served: Served | None, columns: Any) -> list[TopProduct]:
    names, times, days = (
        columns.get(f"own_{each}") for each in ("product_ids", "times_bought", "days_since")
    )
    return [
        TopProduct(
            product_id=str(names[each]),
            title=title(served, str(names[each])),
            times_bought=int(times[each]),
            days_since=float(days[each]),
        )
        for each in favourites(times, days)
    ]


def top_categories(columns: Any) -> list[TopCategory]:
    names, times, days = (columns.get(f"category_{each}") for each in ("names", *BOUGHT))
    return [
        TopCategory(category=str(names[each]), times_bought=int(times[each]), days_since=float(days[each]))
        for each in favourites(times, days)
    ]


def favourites(times: Any, days: Any) -> list[int]:
    """Positions of what was bought most often, the more recent first where equal."""
    return [] if times is None else np.lexsort((days, -times))[:TOP].tolist()


def title(served: Served | None, product_id: str) -> str | None:
    catalogue = served.model.catalogue if served else None
    position = catalogue.position(product_id) if catalogue else None
    return None if catalogue is None or position is None else str(catalogue.titles[position]) or None


def moment(seconds: Any, form: type[date]) -> Any:
    """Epoch seconds as a date or a time in UTC; None where unknown."""
    if seconds is None or not np.isfinite(seconds):
        return None
    found = datetime.fromtimestamp(float(seconds), UTC)
    return found if form is datetime else found.date()


def attributes(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


OPERATION = Operation(
    name="customer",
    method="GET",
    path="/v1/customers/{customer_id}",
    scopes=frozenset({"crm"}),
    answer=CustomerProfile,
    handle=lambda parts, values, body: profile(parts, values["customer_id"]),
    summary="Show one customer: attributes, segment, churn, value, favourites, best action, from one moment.",
    problems=(404,),
)

"""The parts of a customer's profile: what each model and table says of one customer, as answers have it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.best_offers import best_action
from serving.bootstrap import Parts, Served
from serving.deciding import MODEL, catalogue_of
from serving.endpoints import churn_scores, lifetime_values
from serving.endpoints.next_best_offers import Offer, consents, no_offer, offered
from serving.operations import Answer
from serving.portraits import PortraitTable, portrait_table
from serving.scoring import churn_table, segment_table, value_table
from serving.shapes import Because, because

if TYPE_CHECKING:
    from features.rows import Rows

TOP = 5
BOUGHT = ("times_bought", "days_since")
CUSTOMER = (
    *("region", "tier", "birthday", "signed_up_at"),
    *("consent_recommend", "consent_offers", "attributes"),
)
CARE = (
    *("nps_score", "nps_answered_at"),
    *("open_tickets", "tickets_365d", "last_ticket_at", "last_ticket_satisfied"),
)
READ = (
    *(f"customer_profile:{each}" for each in CUSTOMER),
    *(f"customer_product_affinity:own_{each}" for each in ("product_ids", *BOUGHT)),
    *(f"customer_category_affinity:category_{each}" for each in ("names", *BOUGHT)),
    *(f"customer_care:{each}" for each in CARE),
    "customer_activity:orders_total",
)
"""What the profile reads beside what the models do."""
Columns = Any
"""Feature -> the customer's value."""


class Churn(Answer):
    status: churn_scores.Status
    churn_probability: float | None
    risk: str | None
    horizon_days: int
    reasons: list[Because]


class Value(Answer):
    expected_value: float | None
    interval: tuple[float, float] | None
    expected_orders: float | None
    probability_active: float | None
    value_tier: str | None
    value_of: str
    horizon_days: int
    reasons: list[Because]


class Persona(Answer):
    """Null, or empty, where too little is known to say it."""

    label: str | None
    text: str | None
    top_categories: list[str]
    top_brands: list[str]
    price_level: str | None
    discount_sensitivity: str | None
    rhythm: str | None
    time_of_day: str | None
    weekday_or_weekend: str | None
    channel: str | None


class Loyalty(Answer):
    tier: str | None
    next_tier: str | None
    missing: dict[str, float] | None
    """Measure -> how much is missing to the next tier."""


class DueProduct(Answer):
    product_id: str
    title: str | None
    due_in_days: float
    """Below 0 where that is past."""
    probability_within: dict[int, float]
    """Days -> probability that it is bought again within them."""
    text: str


class Tickets(Answer):
    open: int
    last_365_days: int
    last_opened_at: datetime | None
    last_satisfied: bool | None


class TopProduct(Answer):
    product_id: str
    title: str | None
    times_bought: int
    days_since: float


class TopCategory(Answer):
    category: str
    times_bought: int
    days_since: float


def references(parts: Parts) -> list[str]:
    """Everything that the profile reads, in one read."""
    found = list(READ)
    for served in parts.models.values():
        found += getattr(served.model, "references", {})
    return list(dict.fromkeys(found))


def churn(served: Served | None, rows: Rows) -> tuple[Churn | None, datetime | None]:
    """The churn score, and when the next order is expected."""
    if served is None:
        return None, None
    table = churn_table(served, rows)
    found = Churn(
        status=table.status[0],
        churn_probability=table.probability[0],
        risk=table.risk[0],
        horizon_days=served.model.horizon_days,
        reasons=because(table.reasons[0]),
    )
    return found, table.next_order_at[0]


def value(served: Served | None, rows: Rows) -> Value | None:
    if served is None:
        return None
    table = value_table(served, rows, served.model.horizon_days)
    return Value(
        expected_value=table.expected_value[0],
        interval=lifetime_values.interval(table.low[0], table.high[0]),
        expected_orders=table.expected_orders[0],
        probability_active=table.probability_active[0],
        value_tier=table.tier[0],
        value_of=served.model.value_of,
        horizon_days=served.model.horizon_days,
        reasons=because(table.reasons[0]),
    )


def portrait(served: Served | None, rows: Rows) -> PortraitTable | None:
    return None if served is None else portrait_table(served, rows)


def persona(found: PortraitTable | None) -> Persona | None:
    if found is None:
        return None
    told = found.personas[0]
    return Persona.model_validate({name: getattr(told, name) for name in Persona.model_fields})


def loyalty(found: PortraitTable | None) -> Loyalty | None:
    if found is None:
        return None
    told = found.loyalty
    return Loyalty(tier=told.tier[0], next_tier=told.next_tier[0], missing=told.missing[0])


def policy(parts: Parts, rows: Rows) -> tuple[str | None, str | None, Offer | None]:
    """(segment, lifecycle stage, best action) as the offer policy sees them."""
    served = parts.models.get(MODEL)
    if served is None:
        return None, None, None
    segments, stages = segment_table(served.model, rows)
    if not consents(rows):
        return segments[0], stages[0], no_offer()
    best = best_action(served.model, catalogue_of(parts, served.model), rows, parts.now())
    return segments[0], stages[0], offered([best])[0]


def due_products(served: Served | None, rows: Rows) -> list[DueProduct]:
    if served is None:
        return []
    found = served.model.table(rows.columns, TOP)
    days = served.model.config.days
    return [
        DueProduct(
            product_id=product_id,
            title=title or None,
            due_in_days=due,
            probability_within=dict(zip(days, chances, strict=True)),
            text=text,
        )
        for product_id, title, due, chances, text in zip(
            found.product_ids.tolist(),
            found.titles.tolist(),
            found.due_in_days.tolist(),
            found.probability.tolist(),
            found.texts(),
            strict=True,
        )
    ]


def top_products(served: Served | None, columns: Columns) -> list[TopProduct]:
    names, times, days = (columns.get(f"own_{each}") for each in ("product_ids", *BOUGHT))
    return [
        TopProduct(
            product_id=str(names[each]),
            title=title_of(served, str(names[each])),
            times_bought=int(times[each]),
            days_since=float(days[each]),
        )
        for each in favourites(times, days)
    ]


def top_categories(columns: Columns) -> list[TopCategory]:
    names, times, days = (columns.get(f"category_{each}") for each in ("names", *BOUGHT))
    return [
        TopCategory(category=str(names[each]), times_bought=int(times[each]), days_since=float(days[each]))
        for each in favourites(times, days)
    ]


def favourites(times: Any, days: Any) -> list[int]:
    """Positions of what was bought most often, the more recent (of lists, the later) first where equal."""
    if times is None:
        return []
    return np.lexsort((-np.arange(len(times)), days, -times))[:TOP].tolist()


def title_of(served: Served | None, product_id: str) -> str | None:
    catalogue = served.model.catalogue if served else None
    position = catalogue.position(product_id) if catalogue else None
    return None if catalogue is None or position is None else str(catalogue.titles[position]) or None


def tickets(columns: Columns) -> Tickets | None:
    count = number(columns.get("tickets_365d"))
    if count is None:
        return None
    return Tickets(
        open=int(number(columns.get("open_tickets")) or 0),
        last_365_days=int(count),
        last_opened_at=moment(columns.get("last_ticket_at"), datetime),
        last_satisfied=columns.get("last_ticket_satisfied"),
    )


def number(found: Any) -> float | None:
    """A number that may be missing."""
    return None if found is None or not np.isfinite(found) else float(found)


def moment(seconds: Any, form: type[date]) -> Any:
    """Epoch seconds as a date or a time in UTC; None where unknown."""
    known = number(seconds)
    if known is None:
        return None
    found = datetime.fromtimestamp(known, UTC)
    return found if form is datetime else found.date()


def attributes(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None

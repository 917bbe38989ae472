"""The columns of a scoring: what each model says of some customers, None where it is silent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patron.models.activity import clean
from patron.models.base import Reason
from patron.offers.catalogue import Catalogue
from serving.best_offers import best_arms
from serving.bootstrap import Served
from serving.portraits import portrait_table
from serving.scoring import churn_table, segment_table, value_table

if TYPE_CHECKING:
    import pyarrow as pa

    from features.rows import Rows

CHURN, VALUE, OFFERS = "patron-churn", "patron-lifetime-value", "patron-offers"
PORTRAIT, REPLENISHMENT = "patron-portrait", "patron-replenishment"
MODELS = (CHURN, VALUE, PORTRAIT, REPLENISHMENT, OFFERS)
HORIZONS = (30, 90, 365)
"""Days over which a value is told beside that of the trained horizon."""
DUE = 5
"""Products that are due soonest, at most."""
PERSONA = ("price_level", "discount_sensitivity", "rhythm", "time_of_day", "weekday_or_weekend", "channel")
CARE = ("nps_score", "open_tickets")
RECOMMEND = "consent_recommend"
CONSENTS = (RECOMMEND, "consent_offers")
Columns = dict[str, list[Any]]


def schema() -> pa.Schema:
    """Names and types of all columns, in their order in the file."""
    import pyarrow as pa

    text, number, moment = pa.string(), pa.float64(), pa.timestamp("us", "UTC")
    values = ("expected_value", "value_low", "value_high", "expected_orders", "probability_active")
    horizons = [f"expected_value_{days}d" for days in HORIZONS]
    who = ("segment", "cluster", "lifecycle_stage")
    loyalty = ("loyalty_tier", "next_loyalty_tier", "next_tier_missing")
    persona = ("persona", "persona_text", "top_categories", "top_brands", *PERSONA)
    return pa.schema(
        {
            "customer_id": text,
            "churn_status": text,
            "churn_probability": number,
            "churn_risk": text,
            **dict.fromkeys((*values, *horizons), number),
            **dict.fromkeys(("value_of", "value_tier"), text),
            **dict.fromkeys((*who, *loyalty, *persona), text),
            **dict.fromkeys(CARE, number),
            "expected_next_order_at": moment,
            "due_products": text,
            "next_care_date": pa.date32(),
            "next_care_kind": text,
            "next_care_reason": text,
            "best_action": text,
            **dict.fromkeys(CONSENTS, pa.bool_()),
            "reasons": text,
            **{version(name): text for name in MODELS},
            "features_as_of": moment,
        }
    )


def version(name: str) -> str:
    """The column that names a model's version."""
    short = name.removeprefix("patron-").replace("lifetime-", "").replace("-", "_")
    return f"{short}_model_version"


def scored(models: Mapping[str, Served], catalogue: Catalogue, rows: Rows, now: datetime) -> Columns:
    """Every column of some customers."""
    columns: Columns = dict.fromkeys(schema().names, [None] * len(rows))
    columns |= {"customer_id": rows.ids, "features_as_of": [rows.as_of] * len(rows)}
    words: list[list[str]] = [[] for _ in rows.ids]
    for name, said in SAID.items():
        if name in models:
            columns |= said(models[name], rows, words)
            columns[version(name)] = [models[name].version] * len(rows)
    columns |= care(rows)
    if OFFERS in models:
        columns |= offer_columns(models, catalogue, rows, now)
    return columns | {"reasons": ["; ".join(each) or None for each in words]}


def churn_columns(served: Served, rows: Rows, words: list[list[str]]) -> Columns:
    table = churn_table(served, rows)
    tell("churn", sentences(table.reasons), words)
    return {
        "churn_status": table.status,
        "churn_probability": table.probability,
        "churn_risk": table.risk,
        "expected_next_order_at": table.next_order_at,
    }


def value_columns(served: Served, rows: Rows, words: list[list[str]]) -> Columns:
    model, rows = served.model, replace(rows, columns=clean(rows.columns))  # computed once for all horizons
    table = value_table(served, rows, model.horizon_days)
    tell("value", sentences(table.reasons), words)
    further = {f"expected_value_{days}d": expected(model, rows, days) for days in HORIZONS}
    return {
        "expected_value": table.expected_value,
        "value_low": table.low,
        "value_high": table.high,
        "expected_orders": table.expected_orders,
        "probability_active": table.probability_active,
        "value_tier": table.tier,
        "value_of": [model.value_of] * len(rows),
        **further,
    }


def expected(model: Any, rows: Rows, days: int) -> list[float]:
    found: list[float] = model.predict(rows.columns, days).expected_value.tolist()
    return found


def portrait_columns(served: Served, rows: Rows, words: list[list[str]]) -> Columns:
    table = portrait_table(served, rows)
    tell("segment", table.segment_reason, words)
    return {
        "segment": table.segment,
        "cluster": table.cluster,
        "lifecycle_stage": table.stage,
        "loyalty_tier": table.loyalty.tier,
        "next_loyalty_tier": table.loyalty.next_tier,
        "next_tier_missing": [document(each) for each in table.loyalty.missing],
        "persona": [each.label for each in table.personas],
        "persona_text": [each.text for each in table.personas],
        "top_categories": [listed(each.top_categories) for each in table.personas],
        "top_brands": [listed(each.top_brands) for each in table.personas],
        **{name: [getattr(each, name) for each in table.personas] for name in PERSONA},
    }


def due_columns(served: Served, rows: Rows, words: list[list[str]]) -> Columns:
    """What is due, as JSON lists of at most DUE products; nothing for who wants no recommendations."""
    found = served.model.table(rows.columns, DUE)
    days = [f"probability_{each}d" for each in served.model.config.days]
    lists: list[list[dict[str, Any]]] = [[] for _ in rows.ids]
    for row, product_id, title, due, chances in zip(
        found.customer.tolist(),
        found.product_ids.tolist(),
        found.titles.tolist(),
        found.due_in_days.round(6).tolist(),
        found.probability.round(6).tolist(),
        strict=True,
    ):
        told = {"product_id": product_id, "title": title or None, "due_in_days": due}
        lists[row].append(told | dict(zip(days, chances, strict=True)))
    agreed = consents(rows, RECOMMEND).tolist()
    return {
        "due_products": [document(each) if yes else None for each, yes in zip(lists, agreed, strict=True)]
    }


def care(rows: Rows) -> Columns:
    """What surveys and tickets say, where the shop has them, and what the customer agreed to."""
    agreed = {name: consents(rows, name).tolist() for name in CONSENTS}
    return {name: numbers(rows, name) for name in CARE} | agreed


def consents(rows: Rows, name: str) -> NDArray[np.bool_]:
    """Who agreed: who has not said anything has not refused. Shape (customers,)."""
    found = rows.columns.get(name)
    return np.array([each is not False for each in found] if found is not None else [True] * len(rows), bool)


def numbers(rows: Rows, name: str) -> list[Any]:
    values = rows.columns.get(name)
    if values is None:
        return [None] * len(rows)
    return [None if each != each else each for each in values.tolist()]


def offer_columns(models: Mapping[str, Served], catalogue: Catalogue, rows: Rows, now: datetime) -> Columns:
    """The action that the policy holds to be best, by its own segments, as endpoints ask it."""
    policy = models[OFFERS].model
    segments, stages = segment_table(policy, rows)
    named = {} if PORTRAIT in models else {"segment": segments, "lifecycle_stage": stages}
    worth, best = best_arms(policy, catalogue, rows, now)
    return {
        **named,
        "best_action": [worth.names[arm] for arm in best.tolist()],
        version(OFFERS): [models[OFFERS].version] * len(rows),
    }


def tell(subject: str, reasons: Iterable[str | None], words: list[list[str]]) -> None:
    """Add what there is to say about a subject to the words of each customer."""
    for row, found in enumerate(reasons):
        if found:
            words[row].append(f"{subject}: {found}")


def sentences(reasons: Iterable[list[Reason]]) -> list[str]:
    return [", ".join(each.text for each in found) for found in reasons]


def document(found: Any) -> str | None:
    """JSON text of something with content; None of nothing."""
    return json.dumps(found, ensure_ascii=False) if found else None


def listed(names: Iterable[str]) -> str | None:
    return ", ".join(names) or None


SAID = {CHURN: churn_columns, VALUE: value_columns, PORTRAIT: portrait_columns, REPLENISHMENT: due_columns}
"""Model -> what gives its columns, in the order in which reasons are told."""

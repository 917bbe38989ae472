"""The data contract: the tables of the lake, their columns, and what a valid row is.

`TABLES` states it once. `ARROW_SCHEMAS` are the types on disk, `SCHEMAS` the pandera schemas that rows are
checked against, `KEYS` what identifies a row where a later import replaces an earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

Kind = Literal["id", "text", "time", "date", "number", "money", "flag", "list", "json"]

TYPES: dict[Kind, pa.DataType] = {
    "id": pa.string(),
    "text": pa.string(),
    "time": pa.timestamp("us", "UTC"),
    "date": pa.timestamp("us", "UTC"),
    "number": pa.float64(),
    "money": pa.decimal128(18, 6),
    "flag": pa.bool_(),
    "list": pa.list_(pa.string()),
    "json": pa.string(),
}


@dataclass(frozen=True)
class Column:
    """One column. Bounds are inclusive, except `above`; `past` refuses times later than tomorrow."""

    kind: Kind
    required: bool = False
    default: bool | None = None
    """What a missing flag means."""
    least: float | None = None
    most: float | None = None
    above: float | None = None
    past: bool = False
    values: tuple[str, ...] = ()


ID = Column("id", required=True)
MAYBE_ID = Column("id")
TEXT = Column("text")
TIME = Column("time")
PAST = Column("time", required=True, past=True)
MONEY = Column("money")
COST = Column("money", least=0)

EVENT_NAMES = (
    "view_item",
    "view_item_list",
    "select_item",
    "add_to_cart",
    "remove_from_cart",
    "add_to_wishlist",
    "search",
    "purchase",
    "refund",
    "offer_shown",
    "offer_accepted",
    "offer_declined",
)
OFFER_KINDS = (
    "coupon",
    "percent_off",
    "free_shipping",
    "upgrade",
    "points",
    "early_access",
    "care_message",
)

TABLES: dict[str, dict[str, Column]] = {
    "order_lines": {
        "order_id": ID,
        "customer_id": MAYBE_ID,  # null: a guest
        "product_id": ID,
        "ordered_at": PAST,
        "quantity": Column("number", required=True),  # negative: a return
        "unit_price": Column("money", required=True, least=0),
        "discount": MONEY,  # money off the whole line
        "offer_id": MAYBE_ID,
        "ingested_at": TIME,  # when the shop's systems learned of the line, if later than it happened
    },
    "products": {
        "product_id": ID,
        "title": TEXT,
        "category": TEXT,
        "brand": TEXT,
        "price": COST,
        "unit_cost": COST,
        "in_stock": Column("flag"),
        "available_from": TIME,
        "visible": Column("flag", default=True),  # false: postage, fees: money, but never recommended
    },
    "customers": {
        "customer_id": ID,
        "signed_up_at": TIME,
        "birthday": Column("date"),
        "tier": TEXT,
        "region": TEXT,
        "consent_recommend": Column("flag", default=True),
        "consent_offers": Column("flag", default=True),
        "consent_training": Column("flag", default=True),
        "attributes": Column("json"),
    },
    "events": {
        "event_id": ID,
        "occurred_at": PAST,
        "name": Column("text", required=True, values=EVENT_NAMES),
        "customer_id": MAYBE_ID,
        "session_id": MAYBE_ID,
        "product_id": MAYBE_ID,
        "query": TEXT,
        "value": MONEY,
        "currency": TEXT,
        "recommendation_id": MAYBE_ID,
        "decision_id": MAYBE_ID,
    },
    "offers": {
        "offer_id": ID,
        "name": TEXT,
        "kind": Column("text", values=OFFER_KINDS),
        "cost": COST,
        "product_ids": Column("list"),
        "channels": Column("list"),
        "min_tier": TEXT,
        "valid_from": TIME,
        "valid_to": TIME,
        "budget": COST,
        "daily_cap": Column("number", least=0),
    },
    "exposures": {
        "decision_id": ID,
        "customer_id": ID,
        "offer_id": ID,  # or 'none'
        "shown_at": PAST,
        "propensity": Column("number", required=True, above=0, most=1),
        "policy": TEXT,
        "arm": TEXT,
        "converted": Column("flag"),
        "value": MONEY,
        "propensities": Column("json"),  # of every arm that could be shown then, by offer_id
    },
    "tickets": {
        "ticket_id": ID,
        "customer_id": ID,
        "opened_at": PAST,
        "closed_at": TIME,
        "category": TEXT,
        "severity": TEXT,
        "satisfied": Column("flag"),
    },
    "surveys": {
        "customer_id": ID,
        "answered_at": PAST,
        "score": Column("number", required=True, least=0, most=10),
        "comment": TEXT,
    },
}

KEYS: dict[str, tuple[str, ...]] = {
    "products": ("product_id",),
    "customers": ("customer_id",),
    "events": ("event_id",),
    "offers": ("offer_id",),
    "exposures": ("decision_id",),
    "tickets": ("ticket_id",),
}
"""Tables whose rows have an identity of their own. Lines and answers have none: equal rows are duplicates."""

ROW_HASH = pa.field("row_hash", pa.string())

ARROW_SCHEMAS: dict[str, pa.Schema] = {
    table: pa.schema([*(pa.field(name, TYPES[column.kind]) for name, column in columns.items()), ROW_HASH])
    for table, columns in TABLES.items()
}
"""Types on disk: the contract's columns and `row_hash`, by which a row is recognised when it comes again."""


def __getattr__(name: str) -> Any:
    """`SCHEMAS`: table -> pandera DataFrameSchema. Built when asked for: pandera takes a second to import."""
    if name == "SCHEMAS":
        from patron.lake.checks import schemas

        return schemas()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Small shops for tests: a lake written from rows that a reader can check by eye, and a seeded random one."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from patron.files import sha256
from patron.lake.contract import ARROW_SCHEMAS, TABLES


def write_lake(home: Path, currency: str = "EUR", **tables: list[dict[str, Any]]) -> Path:
    """Write rows as the lake of `home`, replacing what was there; absent columns take their defaults."""
    lake = home / "lake"
    facts: dict[str, Any] = {
        "lake_id": str(uuid.uuid5(uuid.NAMESPACE_OID, "test")),
        "currency": currency,
        "sources": ["test"],
        "tables": {},
        "quarantine": {},
    }
    for table, rows in tables.items():
        path = lake / table / "part.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([typed(table, row) for row in rows], ARROW_SCHEMAS[table]), path)
        entry = {"path": f"{table}/part.parquet", "rows": len(rows), "sha256": sha256(path)}
        facts["tables"][table] = {"rows": len(rows), "files": [entry]}
    lake.mkdir(parents=True, exist_ok=True)
    (lake / "manifest.json").write_text(json.dumps(facts), encoding="utf-8")
    return lake


def typed(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row with every column of the contract, money as decimals."""
    full = {}
    for name, column in TABLES[table].items():
        value = row.get(name, column.default)
        if column.kind == "money" and value is not None:
            value = Decimal(str(value)).quantize(Decimal("0.000001"))
        full[name] = value
    return full | {"row_hash": uuid.uuid4().hex}


def line(
    customer: str | None,
    product: str,
    at: str | datetime,
    quantity: float = 1,
    price: float = 10,
    **more: Any,
) -> dict[str, Any]:
    """One order line; orders are told apart by customer and time unless `order_id` is given."""
    when = datetime.fromisoformat(at).replace(tzinfo=UTC) if isinstance(at, str) else at
    return {
        "order_id": f"{customer}@{when:%Y%m%d%H%M%S}",
        "customer_id": customer,
        "product_id": product,
        "ordered_at": when,
        "quantity": quantity,
        "unit_price": price,
        **more,
    }


def random_shop(
    customers: int = 60,
    products: int = 30,
    days: int = 200,
    seed: int = 7,
    start: datetime = datetime(2024, 1, 1, tzinfo=UTC),
) -> dict[str, list[dict[str, Any]]]:
    """Order lines, products and customers of a shop with habits: each customer prefers a few products.

    It has guests, returns, discounts, orders of several lines, ties in time, and customers who leave.
    """
    rng = np.random.default_rng(seed)
    lines = []
    for customer in range(customers):
        liked = rng.choice(products, size=4, replace=False)
        gap = rng.uniform(3, 25)
        leaves = days if rng.random() < 0.7 else rng.uniform(30, days)
        at = rng.uniform(0, 60)
        while at < leaves:
            when = start + timedelta(seconds=int(at * 86_400))
            name = None if rng.random() < 0.05 else f"c{customer:03d}"
            order = uuid.UUID(int=int(rng.integers(2**62))).hex
            for _ in range(rng.integers(1, 5)):
                product = rng.choice(liked) if rng.random() < 0.8 else rng.integers(products)
                price = 2 + product % 7 + 0.99
                quantity = int(rng.integers(1, 4)) * (-1 if rng.random() < 0.05 else 1)
                discount = round(price * 0.1, 2) if rng.random() < 0.2 and quantity > 0 else None
                lines.append(
                    line(name, f"p{product:02d}", when, quantity, price, order_id=order, discount=discount)
                )
            at += rng.exponential(gap) + (0 if rng.random() < 0.1 else 0.5)
    return {
        "order_lines": lines,
        "products": [
            {
                "product_id": f"p{each:02d}",
                "title": f"Product {each}",
                "category": f"k{each % 5}",
                "price": 2.99 + each % 7,
            }
            for each in range(products)
        ],
        "customers": [
            {"customer_id": f"c{each:03d}", "region": "north" if each % 2 else "south", "tier": "basic"}
            for each in range(customers)
        ],
    }

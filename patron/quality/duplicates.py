"""Duplicates: rows that stand in the lake twice, and keys that stand for several things."""

from __future__ import annotations

from typing import Any

from patron.lake.contract import KEYS, TABLES
from patron.lake.sql import quoted
from patron.quality.tables import Source


def duplicates(source: Source) -> dict[str, Any]:
    """Rows that equal another in every column, rows whose key is another's, and for order lines the orders
    that more than one customer placed."""
    columns = ", ".join(quoted(each) for each in TABLES[source.table])
    count = f"SELECT count(*) - count(DISTINCT hash({columns})) FROM {source.table}"
    found: dict[str, Any] = {"identical_rows": source.ask(count)[0][0]}
    if keys := KEYS.get(source.table):
        names = ", ".join(quoted(each) for each in keys)
        count = f"SELECT count(*) - count(DISTINCT hash({names})) FROM {source.table}"
        found["same_key"] = source.ask(count)[0][0]
    if source.table == "order_lines":
        shared = (
            "SELECT count(*) FROM (SELECT order_id FROM order_lines GROUP BY order_id "
            "HAVING min(customer_id) <> max(customer_id))"
        )
        found["orders_of_several_customers"] = source.ask(shared)[0][0]
    return found | {"alarm": found.get("same_key", 0) > 0}


def said(table: str, found: dict[str, Any]) -> str:
    return (
        f"{table}: {found['same_key']} rows have the key of another row. Something else than an import "
        "changed the lake: import it again into an empty home"
    )

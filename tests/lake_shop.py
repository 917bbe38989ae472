"""A tiny shop: its mapping, its files, its lake."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from patron.lake.importer import import_files
from patron.lake.tables import Lake
from patron.settings import Settings

MAPPING = """
description = "A corner shop"
currency = "EUR"
time_zone = "Europe/Berlin"

[files.orders]
format = "csv"

[[tables]]
table = "order_lines"
from = "orders"

[tables.columns]
order_id = "order_no"
customer_id = "customer"
product_id = "sku"
ordered_at = "sold"
quantity = "qty"
unit_price = "price"

[[tables.rules]]
name = "returned"
when = "order_no LIKE 'R%'"
then = "return"

[[tables.rules]]
name = "test order"
when = "customer = 'test'"
then = "skip"

[[tables.rules]]
name = "blocked product"
when = "sku = 'blocked'"
then = "quarantine"
reason = "the product was never ours"
"""

HEADER = "order_no,customer,sku,sold,qty,price"


@dataclass
class Shop:
    """A home, mappings, and files to import."""

    settings: Settings
    folder: Path

    def mapping(self, text: str, name: str = "shop") -> None:
        (self.settings.configs / "imports" / f"{name}.toml").write_text(text, encoding="utf-8")

    def file(self, text: str | bytes, name: str = "orders.csv") -> str:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def orders(self, *lines: str, name: str = "orders.csv") -> str:
        return self.file("\n".join([HEADER, *lines]) + "\n", name)

    def run(self, *arguments: str, name: str = "shop") -> dict[str, Any]:
        return import_files(self.settings, name, arguments)

    def lines(self, *rows: str) -> dict[str, Any]:
        """Import order lines; gives their accounting, whose counts must add up."""
        counts: dict[str, Any] = self.run(self.orders(*rows))["tables"]["order_lines"]
        assert_adds_up(counts)
        return counts

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake)

    def rows(self, table: str = "order_lines") -> list[dict[str, Any]]:
        return [row for path in self.lake.files(table) for row in pq.read_table(path).to_pylist()]

    def quarantine(self, table: str = "order_lines") -> list[dict[str, Any]]:
        files = self.lake.facts()["quarantine"].get(table, {}).get("files", [])
        rows = [row for each in files for row in pq.read_table(self.lake.path / each["path"]).to_pylist()]
        return [{**row, "raw": json.loads(row["raw"])} for row in rows]


def assert_adds_up(counts: dict[str, Any]) -> None:
    left_out = sum(counts["quarantined"].values()) + sum(counts["skipped"].values())
    assert counts["read"] == counts["accepted"] + counts["duplicate"] + left_out
    assert counts["accepted"] == counts["new"] + counts["updated"]

"""Two grains of the order lines that every view reads, written once per lake.

Amounts become integers (money in hundredths, units in thousandths, times in epoch seconds), so that sums are
exact and equal on every engine and in every order.

lines    one row an order line
moments  one row for each (customer, order, second, ingestion): all of it is before a cutoff, or none
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patron.files import publish_folder
from patron.lake.contract import ARROW_SCHEMAS
from patron.lake.tables import Lake

if TYPE_CHECKING:
    import ibis
    from ibis.backends.duckdb import Backend


AS_THEY_ARE = ("customers", "events", "tickets", "surveys", "offers", "exposures")
"""Tables that views read from the lake itself."""


@dataclass(frozen=True)
class Staged:
    """The staged tables of one lake, open on an engine."""

    lines: ibis.Table
    moments: ibis.Table
    customers: ibis.Table
    events: ibis.Table
    tickets: ibis.Table
    surveys: ibis.Table
    offers: ibis.Table
    exposures: ibis.Table
    time_zone: str = "UTC"
    """The shop's own, in which its days and hours are told."""


def before(table: ibis.Table, cutoff: int) -> ibis.Table:
    """The rows that were known at `cutoff`: they happened before it and, where told, arrived before it."""
    return table.filter(table.at < cutoff, table.ingested_at.isnull() | (table.ingested_at < cutoff))


def lake_table(engine: Backend, lake: Lake, table: str) -> ibis.Table:
    """A lake table with the contract's columns; empty where the shop has none.

    A column that the contract did not have when a file was written is null there.
    """
    import ibis

    files, schema = lake.files(table), ARROW_SCHEMAS[table]
    if not files:
        return ibis.memtable(schema.empty_table())
    found = engine.read_parquet([str(path) for path in files], union_by_name=True)
    types = ibis.Schema.from_pyarrow(schema)
    return found.select(
        *(
            found[name] if name in found.columns else ibis.null(types[name]).name(name)
            for name in schema.names
        )
    )


def stage(engine: Backend, lake: Lake, folder: Path, time_zone: str = "UTC") -> Staged:
    """Stage the lake into `folder` (once per lake content, which replaces the one before) and open it.

    Raises LakeError when there are no order lines.
    """
    lake.require("order_lines")
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    target = folder / f"{lake.hash('order_lines', 'products')[:16]}-{code[:16]}"
    if not target.is_dir():
        with publish_folder(target) as aside:
            lines = order_lines(lake_table(engine, lake, "order_lines"), lake_table(engine, lake, "products"))
            lines.to_parquet(aside / "lines.parquet")
            moments(engine.read_parquet(aside / "lines.parquet")).to_parquet(aside / "moments.parquet")
        for older in set(folder.iterdir()) - {target}:
            shutil.rmtree(older, ignore_errors=True)
    return Staged(
        lines=engine.read_parquet(target / "lines.parquet"),
        moments=engine.read_parquet(target / "moments.parquet"),
        **{name: lake_table(engine, lake, name) for name in AS_THEY_ARE},
        time_zone=time_zone,
    )


def order_lines(lines: ibis.Table, products: ibis.Table) -> ibis.Table:
    """Order lines as integers, with the category, brand and visibility of their product.

    cost_cents is what the units cost the shop: negative for a return, null for a product of unknown cost.
    """
    import ibis

    quantity = lines.quantity.cast("decimal(15, 3)")
    gross = quantity * lines.unit_price.cast("decimal(18, 6)")
    paid = gross - lines.discount.fill_null(0).cast("decimal(18, 6)")
    amounts = lines.select(
        "customer_id",
        "order_id",
        "product_id",
        at=whole_seconds(lines.ordered_at),
        ingested_at=whole_seconds(lines.ingested_at),
        units_milli=(quantity * 1000).cast("int64"),
        gross_cents=hundredths(gross),
        paid_cents=hundredths(paid),
        is_return=lines.quantity < 0,
    )
    catalogue = products.select("product_id", "category", "brand", "visible", "unit_cost")
    joined = amounts.left_join(catalogue, "product_id")
    units = joined.units_milli.cast("decimal(18, 0)") / 1000
    return joined.select(
        *amounts.columns,
        "category",
        "brand",
        visible=ibis.coalesce(joined.visible, True),
        cost_cents=hundredths(units * joined.unit_cost.cast("decimal(15, 6)")),
    ).order_by("customer_id", "at", "order_id", "product_id", "units_milli", "paid_cents")


def whole_seconds(time: ibis.Value) -> ibis.Value:
    """Epoch seconds, parts of a second dropped: rounded, the last half second of a day is the next day."""
    return time.truncate("s").epoch_seconds().cast("int64")


def hundredths(amount: ibis.Value) -> ibis.Value:
    """A decimal amount of money in whole hundredths, half rounded away from zero."""
    return (amount.cast("decimal(36, 9)").round(2) * 100).cast("int64")


def moments(lines: ibis.Table) -> ibis.Table:
    """Order lines of known customers summed to (customer, order, second, ingestion).

    costed_cents is what was paid, less what came back, for products of known cost; cost_cents what they cost.
    """
    bought = ~lines.is_return
    known = lines.filter(lines.customer_id.notnull())
    return known.group_by("customer_id", "order_id", "at", "ingested_at").agg(
        is_order=bought.any(),
        units_milli=lines.units_milli.sum(where=bought).fill_null(0).cast("int64"),
        gross_cents=lines.gross_cents.sum(where=bought).fill_null(0).cast("int64"),
        paid_cents=lines.paid_cents.sum(where=bought).fill_null(0).cast("int64"),
        returned_cents=(-lines.paid_cents.sum(where=lines.is_return)).fill_null(0).cast("int64"),
        cost_cents=lines.cost_cents.sum().fill_null(0).cast("int64"),
        costed_cents=lines.paid_cents.sum(where=lines.cost_cents.notnull()).fill_null(0).cast("int64"),
    )

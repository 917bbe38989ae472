"""A wrong mapping is told in full, before any file is read."""

from __future__ import annotations

import pytest

from patron.errors import ConfigurationError
from patron.lake.mapping import load_mapping
from patron.settings import PROJECT
from tests.lake_shop import MAPPING

IMPORTS = PROJECT / "configs" / "imports"


@pytest.mark.parametrize("name", sorted(path.stem for path in IMPORTS.glob("*.toml")))
def test_shipped_mappings_are_right(name):
    assert load_mapping(IMPORTS, name).description


def mistakes(shop, text: str) -> str:
    shop.mapping(text)
    with pytest.raises(ConfigurationError) as caught:
        shop.run()
    return str(caught.value)


def test_an_unknown_mapping_names_those_that_are(shop):
    with pytest.raises(ConfigurationError, match=r"No mapping 'shoop' in .*There are: shop. Write your own"):
        shop.run(name="shoop")


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('currency = "EUR"', 'currency = "euro"', "currency: "),
        ('currency = "EUR"', 'curency = "EUR"', "curency: Extra inputs are not permitted"),
        ("Europe/Berlin", "Berlin", "time_zone: no such time zone"),
        ('format = "csv"', 'format = "xlsx"', "files.orders.format: "),
        ('format = "csv"', 'format = "csv"\nencoding = "utf-88"', "files.orders.encoding: no such encoding"),
        ('format = "csv"', 'format = "csv"\ndelimiter = "||"', "files.orders.delimiter: "),
        (
            'table = "order_lines"',
            'table = "orders"',
            "tables.orders.table: the lake has no such table; it has",
        ),
        ('from = "orders"', 'from = "order"', "tables.order_lines.from: no file 'order'; there are orders"),
        ('from = "orders"', "", "tables.order_lines.sql: give either `from` or `sql`"),
        (
            'from = "orders"',
            'sql = "DELETE FROM orders"',
            "tables.order_lines.sql: not SQL that DuckDB reads",
        ),
        ('product_id = "sku"', "", "tables.order_lines.columns: product_id is required and not mapped"),
        (
            'product_id = "sku"',
            'product_id = "sku"\nsku = "x"',
            "sku is no column of the table; it has order_id",
        ),
        ('product_id = "sku"', 'product_id = "upper(sku"', "product_id: not SQL that DuckDB reads"),
        ("customer = 'test'", "customer = ", "tables.order_lines.rules.1.when: not SQL that DuckDB reads"),
        ('then = "skip"', 'then = "drop"', "tables.order_lines.rules.1.then: "),
        ('name = "test order"', 'name = "returned"', "two rules have the same name"),
        (
            'from = "orders"',
            'from = "orders"\nkey = ["offer_id"]',
            "a key needs mapped columns; not mapped: offer",
        ),
    ],
)
def test_a_mistake_is_told(shop, right, wrong, told):
    assert right in MAPPING
    assert told in mistakes(shop, MAPPING.replace(right, wrong))


def test_all_mistakes_are_told_together(shop):
    text = MAPPING.replace("EUR", "euro").replace('from = "orders"', 'from = "x"').replace('"sku"', '"("')
    told = mistakes(shop, text)
    assert all(part in told for part in ("currency", "no file 'x'", "product_id: not SQL"))


def test_a_table_filled_twice(shop):
    twice = MAPPING + MAPPING[MAPPING.index("[[tables]]") :]
    assert "order_lines is filled twice; join its sources with UNION ALL" in mistakes(shop, twice)


def test_a_file_that_is_not_toml(shop):
    assert "is not TOML" in mistakes(shop, "a = ")

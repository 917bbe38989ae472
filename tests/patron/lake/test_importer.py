"""Every row ends as exactly one of accepted, duplicate, quarantined, skipped."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from patron.errors import DataError, LakeError
from patron.lake.contract import ARROW_SCHEMAS
from tests.lake_shop import MAPPING, assert_adds_up

GOOD = "1,ann,tea,2024-01-05 10:00:00,2,3.50"
OTHER = "2,bob,cup,2024-01-06 11:00:00,1,7"


def test_a_row_becomes_typed_columns(shop):
    counts = shop.lines(GOOD)
    [row] = shop.rows()
    assert counts["accepted"] == 1
    row.pop("row_hash")
    assert row == {
        "order_id": "1",
        "customer_id": "ann",
        "product_id": "tea",
        "ordered_at": datetime(2024, 1, 5, 9, tzinfo=UTC),
        "quantity": 2.0,
        "unit_price": Decimal("3.500000"),
        "discount": None,
        "offer_id": None,
        "ingested_at": None,
    }


def test_files_carry_the_contracts_types(shop):
    import pyarrow.parquet as pq

    shop.lines(GOOD)
    [path] = shop.lake.files("order_lines")
    assert pq.read_schema(path).remove_metadata() == ARROW_SCHEMAS["order_lines"]


def test_an_empty_customer_is_a_guest(shop):
    shop.lines("1,,tea,2024-01-05,2,3.50")
    assert shop.rows()[0]["customer_id"] is None


def test_rules_name_what_happens(shop):
    counts = shop.lines(
        GOOD,
        "R3,ann,tea,2024-01-07,2,3.50",
        "4,test,tea,2024-01-07,2,3.50",
        "5,bob,blocked,2024-01-07,2,3.50",
    )
    assert counts["accepted"] == 2
    assert counts["returns"] == {"returned": 1}
    assert counts["skipped"] == {"test order": 1}
    assert counts["quarantined"] == {"the product was never ours": 1}
    assert [row["quantity"] for row in shop.rows()] == [2, -2]


@pytest.mark.parametrize(
    ("line", "fault", "why"),
    [
        ("1,ann,tea,2024-01-05,abc,3", "quantity is not a number", "quantity: 'abc' is not a number"),
        ("1,ann,tea,2024-01-05,nan,3", "quantity is not a number", "quantity: 'nan' is not a number"),
        ("1,ann,tea,2024-01-05,1e999,3", "quantity is not a number", "quantity: '1e999' is not a number"),
        ("1,ann,tea,2024-01-05,1,x", "unit_price is not an amount of money", "unit_price: 'x' is not an am"),
        ("1,ann,tea,2024-01-05,1,-1", "unit_price is less than 0", "unit_price: -1.000000 is less than 0"),
        ("1,ann,tea,2024-01-05,1,", "unit_price is missing", "unit_price: is missing"),
        ("1,ann,,2024-01-05,1,3", "product_id is missing", "product_id: is missing"),
        (",ann,tea,2024-01-05,1,3", "order_id is missing", "order_id: is missing"),
        ("1,ann,tea,soon,1,3", "ordered_at is not a time", "ordered_at: 'soon' is not a time"),
        ("1,ann,tea,infinity,1,3", "ordered_at is not a time", "ordered_at: 'infinity' is not a time"),
        ("1,ann,tea,2024-02-30,1,3", "ordered_at is not a time", "ordered_at: '2024-02-30' is not a time"),
        ("1,ann,tea,1969-01-01,1,3", "ordered_at lies before 1970", "ordered_at: 1968-12-31T23:00:00"),
        ("1,ann,tea,2999-01-01Z,1,3", "ordered_at is not a time", "2999-01-01Z"),
        (
            "1,ann,tea,2999-01-01T00:00:00Z,1,3",
            "ordered_at lies in the future",
            "ordered_at: 2999-01-01 lies in the future",
        ),
        ("1,ann,t\x07ea,2024-01-05,1,3", "product_id holds control characters", "holds control characters"),
        ("1,ann,tea,2024-01-05,1", "wrong number of fields", "5 fields where 6 were expected"),
        ("1,ann,tea,2024-01-05,1,3,9", "wrong number of fields", "7 fields where 6 were expected"),
    ],
)
def test_a_wrong_row_is_quarantined_with_its_reason(shop, line, fault, why):
    counts = shop.lines(GOOD, line, OTHER)
    assert counts["accepted"] == 2
    assert counts["quarantined"] == {fault: 1}
    [kept] = shop.quarantine()
    assert (kept["source_file"], kept["row_number"]) == ("orders.csv", 2)
    assert why in kept["reason"]
    if fault == "wrong number of fields":
        assert kept["raw"] == {"line": line}
    else:
        assert list(kept["raw"]) == ["order_no", "customer", "sku", "sold", "qty", "price"]


def test_all_reasons_of_a_row_are_kept_and_the_first_is_counted(shop):
    counts = shop.lines(GOOD, ",ann,,soon,abc,-1")
    [kept] = shop.quarantine()
    assert sum(counts["quarantined"].values()) == 1
    assert kept["reason"] == (
        "ordered_at: 'soon' is not a time; quantity: 'abc' is not a number; order_id: is missing; "
        "product_id: is missing; unit_price: -1.000000 is less than 0"
    )


def test_numbers_and_rows_stay_together_around_malformed_rows(shop):
    lines = [f"{n},ann,tea,2024-01-05,{n},1" if n % 3 else f"{n},ann" for n in range(1, 40)]
    shop.lines(*lines, "x,ann,tea,2024-01-05,abc,1")
    assert [row["row_number"] for row in shop.quarantine()] == [*range(3, 40, 3), 40]


def test_when_every_row_is_quarantined_the_import_fails_and_keeps_them(shop):
    with pytest.raises(DataError, match=r"Every row was quarantined.*\n.*quantity is not a number \(2\)"):
        shop.run(shop.orders("1,ann,tea,2024-01-05,x,1", "2,ann,tea,2024-01-05,y,1"))
    assert shop.lake.tables() == []
    assert len(shop.quarantine()) == 2


def test_identical_rows_are_one_fact(shop):
    counts = shop.lines(GOOD, OTHER, GOOD, GOOD)
    assert (counts["accepted"], counts["duplicate"]) == (2, 2)
    assert counts["known_customer_sales"] == {"read": 4, "exact_duplicates": 2, "accepted": 2}


def test_identical_rows_may_be_declared_distinct(shop):
    shop.mapping(MAPPING.replace('from = "orders"', 'from = "orders"\nidentical_rows = "distinct"'))
    assert shop.lines(GOOD, OTHER, GOOD)["accepted"] == 3
    assert shop.lines(GOOD, OTHER, GOOD)["accepted"] == 0
    counts = shop.lines(GOOD, GOOD, GOOD)
    assert (counts["accepted"], counts["duplicate"]) == (1, 2)


def test_the_same_file_again_changes_nothing(shop):
    bad = "3,ann,tea,2024-01-05,abc,1"
    shop.lines(GOOD, OTHER, bad, bad)
    before = everything(shop)
    counts = shop.lines(GOOD, OTHER, bad, bad)
    assert (counts["accepted"], counts["duplicate"]) == (0, 2)
    assert counts["quarantined"] == {"quantity is not a number": 2}
    assert everything(shop) == before
    assert len(shop.quarantine()) == 2


def everything(shop):
    return {path: path.read_bytes() for path in shop.settings.lake.rglob("*") if path.is_file()}


def test_a_later_export_that_overlaps_adds_the_new_lines(shop):
    shop.lines(GOOD, OTHER)
    first = shop.lake.hash("order_lines")
    counts = shop.lines(OTHER, "3,cy,jar,2024-01-08,1,9")
    assert (counts["new"], counts["duplicate"]) == (1, 1)
    assert [row["order_id"] for row in shop.rows()] == ["1", "2", "3"]
    assert shop.lake.hash("order_lines") != first


def test_columns_may_change_places_between_exports(shop):
    shop.lines(GOOD)
    moved = "price,order_no,customer,sku,sold,qty\n3.50,1,ann,tea,2024-01-05 10:00:00,2\n"
    assert shop.run(shop.file(moved))["tables"]["order_lines"]["duplicate"] == 1


def test_several_files_of_one_source_are_one_input(shop):
    report = shop.run(shop.orders(GOOD, name="jan.csv"), shop.orders(GOOD, OTHER, name="feb.csv"))
    counts = report["tables"]["order_lines"]
    assert [(each["name"], each["rows"]) for each in report["files"]] == [("jan.csv", 1), ("feb.csv", 2)]
    assert (counts["read"], counts["accepted"], counts["duplicate"]) == (3, 2, 1)


def test_a_lake_is_kept_in_one_currency(shop):
    shop.lines(GOOD)
    shop.mapping(MAPPING.replace("EUR", "USD"), "other")
    with pytest.raises(
        LakeError, match=r"kept in EUR; 'other' is in USD.*PATRON_HOME=var-other patron import other"
    ):
        shop.run(shop.orders(GOOD), name="other")


def test_the_lake_keeps_the_time_zone_of_its_order_lines(shop):
    goods(shop, "p,tea,1,true")
    assert "time_zone" not in shop.lake.facts()
    shop.lines(GOOD)
    assert shop.lake.facts()["time_zone"] == "Europe/Berlin"
    goods(shop, "q,cup,1,true")
    assert shop.lake.facts()["time_zone"] == "Europe/Berlin"


def test_the_report_is_written_and_holds_no_customer(shop):
    report = shop.run(shop.orders(GOOD, "9,zoe,tea,2024-01-05,abc,1"))
    path = shop.settings.reports / f"import-{report['import_id']}.json"
    assert json.loads(path.read_text()) == report
    assert "zoe" not in path.read_text()
    assert report["lake_id"] == shop.lake.facts()["lake_id"]


PRODUCTS = """
description = "Goods"
currency = "EUR"
[files.goods]
format = "csv"
[[tables]]
table = "products"
from = "goods"
[tables.columns]
product_id = "sku"
title = "name"
price = "price"
visible = "shown"
"""


def goods(shop, *lines):
    shop.mapping(PRODUCTS, "goods")
    report = shop.run(
        shop.file("\n".join(["sku,name,price,shown", *lines]) + "\n", "goods.csv"), name="goods"
    )
    return report["tables"]["products"]


def test_the_newest_row_of_a_key_wins(shop):
    counts = goods(shop, "tea,Tea,3,", "cup,Cup,7,false", "tea,Green tea,4,")
    assert_adds_up(counts)
    assert (counts["new"], counts["duplicate"]) == (2, 1)
    counts = goods(shop, "tea,Green tea,5,", "cup,Cup,7,false", "jar,Jar,1,true")
    assert_adds_up(counts)
    assert (counts["new"], counts["updated"], counts["duplicate"]) == (1, 1, 1)
    found = {row["product_id"]: (row["title"], row["price"], row["visible"]) for row in shop.rows("products")}
    assert found == {"tea": ("Green tea", 5, True), "cup": ("Cup", 7, False), "jar": ("Jar", 1, True)}
    assert len(shop.rows("products")) == 3


def test_replaced_files_stay_for_readers_until_the_next_import(shop):
    goods(shop, "tea,Tea,3,")
    [reader] = shop.lake.files("products")
    goods(shop, "tea,Tea,4,")
    assert reader.exists()
    goods(shop, "tea,Tea,4,")
    assert not reader.exists()


def test_a_lake_without_a_table_says_how_to_fill_it(shop):
    with pytest.raises(LakeError, match=r"holds no order_lines\. Import some: patron import"):
        shop.lake.require("order_lines")

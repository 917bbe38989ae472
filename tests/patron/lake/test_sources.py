"""What files may look like, and what is said when they cannot be read. Nothing is written then."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from patron.errors import DataError, UsageError
from tests.lake_shop import HEADER, MAPPING

ROW = "1,ann,tea,2024-01-05 10:00:00,2,3.50"


def refused(shop, match: str, *arguments: str, error: type[Exception] = DataError) -> None:
    with pytest.raises(error, match=match):
        shop.run(*arguments)
    assert not shop.settings.lake.exists()
    assert list((shop.settings.home / "tmp").glob("*")) == []


def with_file_keys(shop, *keys: str) -> None:
    shop.mapping(MAPPING.replace('format = "csv"', "\n".join(['format = "csv"', *keys])))


def test_a_missing_file(shop):
    refused(shop, r"No file .*nowhere\.csv \(source 'orders'\)", "nowhere.csv")


def test_no_file_given(shop):
    refused(shop, "No file for 'orders'. Give it: patron import NAME FILE, or orders=FILE", error=UsageError)


def test_a_folder(shop):
    refused(shop, "is a folder", str(shop.folder))


def test_an_empty_file(shop):
    refused(shop, r"orders\.csv \(source 'orders'\) is empty", shop.file(""))


def test_a_header_without_rows(shop):
    refused(shop, "holds a header but no rows", shop.file(HEADER + "\n"))


def test_missing_columns_are_all_named_with_the_nearest(shop):
    path = shop.file("order_no,customer,skuu,sold,quantity,price\n" + ROW + "\n")
    refused(
        shop,
        r"needs the columns 'sku' \(did you mean 'skuu'\?\), 'qty'.* Found: order_no, customer, skuu",
        path,
    )


def test_another_delimiter_is_guessed(shop):
    path = shop.file((HEADER + "\n" + ROW + "\n").replace(",", ";"))
    refused(shop, "All is in one column: set `delimiter`", path)
    with_file_keys(shop, 'delimiter = ";"')
    assert shop.run(path)["tables"]["order_lines"]["accepted"] == 1


def test_a_column_twice(shop):
    refused(shop, "every column needs a name of its own; look at 'sku'", shop.file("sku,sku\n1,2\n"))


def test_bytes_that_are_not_utf8_are_told_by_offset(shop):
    path = shop.file(f"{HEADER}\n1,Zo\xeb,tea,2024-01-05,2,3.50\n".encode("latin-1"))
    refused(shop, r"not utf-8: byte 0xeb at offset 41 .*Set `encoding` under \[files\.orders\]", path)


def test_the_offset_counts_from_the_start_of_a_long_file(shop):
    text = f"{HEADER}\n{ROW}\n".encode() + b"2,bob,cup,2024-01-05,2,3\n" * 100_000
    path = shop.file(text + b"3,b\xff,cup,2024-01-05,2,3\n")
    refused(shop, f"byte 0xff at offset {len(text) + 3:,} ", path)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
def test_other_encodings(shop, encoding):
    with_file_keys(shop, f'encoding = "{encoding}"')
    shop.run(shop.file(f"{HEADER}\n1,Zoë,tea,2024-01-05,2,3.50\n".encode(encoding)))
    assert shop.rows()[0]["customer_id"] == "Zoë"


def test_a_byte_order_mark_is_no_part_of_the_first_name(shop):
    assert shop.run(shop.file(f"\ufeff{HEADER}\n{ROW}\n"))["tables"]["order_lines"]["accepted"] == 1


def test_quotes_line_ends_and_blank_lines(shop):
    lines = ["", '1,"an, ""n"" ",tea,2024-01-05,2,3.50', "", '2,"b\r\nb",cup,2024-01-05,1,1', "3,c", ""]
    counts = shop.run(shop.file("\r\n".join([HEADER, *lines])))["tables"]["order_lines"]
    assert counts["quarantined"] == {"wrong number of fields": 1, "customer_id holds control characters": 1}
    assert [row["customer_id"] for row in shop.rows()] == ['an, "n"']
    assert [row["row_number"] for row in shop.quarantine()] == [2, 3]


def test_quotes_may_be_ordinary_characters(shop):
    with_file_keys(shop, 'quote = ""')
    shop.run(shop.file(f'{HEADER}\n1,"ann,tea,2024-01-05,2,3.50\n'))
    assert shop.rows()[0]["customer_id"] == '"ann'


def test_gzip_is_known_by_its_content(shop):
    packed = gzip.compress(f"{HEADER}\n{ROW}\n".encode())
    assert shop.run(shop.file(packed, "orders.csv"))["tables"]["order_lines"]["accepted"] == 1
    assert shop.run(shop.file(packed, "orders.csv.gz"))["tables"]["order_lines"]["duplicate"] == 1


def test_what_is_called_gzip_must_be(shop):
    refused(
        shop,
        r"orders\.csv\.gz is not gzip: it begins with bytes 6f 72",
        shop.orders(ROW, name="orders.csv.gz"),
    )


def test_a_cut_gzip(shop):
    packed = gzip.compress("\n".join([HEADER, *[ROW] * 50_000]).encode())
    refused(shop, "damaged gzip file", shop.file(packed[:-20], "orders.csv.gz"))


def test_what_is_called_parquet_must_be(shop):
    shop.mapping(MAPPING.replace('format = "csv"', 'format = "parquet"'))
    refused(shop, r"orders\.csv \(source 'orders'\) is not Parquet", shop.orders(ROW))


def test_parquet_keeps_file_and_row(shop):
    shop.mapping(MAPPING.replace('format = "csv"', 'format = "parquet"'))
    columns = {
        "order_no": ["1", "2", "3"],
        "customer": ["ann", None, "bob"],
        "sku": ["tea", "cup", "cup"],
        "sold": pa.array([1_700_000_000_000_000_000 + n for n in range(3)], pa.timestamp("ns")),
        "qty": [2.0, float("nan"), 1.5],
        "price": [0.1, 0.2, 3.0],
    }
    path = shop.folder / "it's orders.parquet"
    pq.write_table(pa.table(columns), path)
    counts = shop.run(str(path))["tables"]["order_lines"]
    assert (counts["accepted"], counts["quarantined"]) == (2, {"quantity is not a number": 1})
    [kept] = shop.quarantine()
    assert (kept["source_file"], kept["row_number"]) == ("it's orders.parquet", 2)
    assert [str(row["unit_price"]) for row in shop.rows()] == ["0.100000", "3.000000"]


def test_files_may_be_named_by_key(shop):
    path = shop.orders(ROW)
    assert shop.run(f"orders={path}")["tables"]["order_lines"]["accepted"] == 1


TWO = """
description = "Two files"
currency = "EUR"
[files.heads]
format = "csv"
[files.lines]
format = "csv"
[[tables]]
table = "order_lines"
sql = "SELECT * FROM lines JOIN heads USING (no) ORDER BY no, sku"
[tables.columns]
order_id = "no"
product_id = "sku"
ordered_at = "day"
quantity = "1"
unit_price = "cents::INTEGER / 100"
"""


def two(shop) -> tuple[str, str]:
    shop.mapping(TWO)
    heads = shop.file("no,day\n1,2024-01-05\n2,2024-01-06\n", "heads.csv")
    return heads, shop.file("no,sku,cents\n1,tea,350\n1,cup,700\n2,cup,700\n", "lines.csv")


def test_sources_are_joined_by_sql(shop):
    heads, lines = two(shop)
    assert shop.run(heads, lines)["tables"]["order_lines"]["accepted"] == 3
    assert [float(row["unit_price"]) for row in shop.rows()] == [7.0, 3.5, 7.0]


def test_keys_and_order_may_be_mixed(shop):
    heads, lines = two(shop)
    assert shop.run(f"lines={lines}", heads)["tables"]["order_lines"]["accepted"] == 3


def test_too_many_files(shop):
    heads, lines = two(shop)
    refused(shop, "3 files were given for 2 sources: heads, lines", heads, lines, heads, error=UsageError)


def test_a_query_that_names_no_column(shop):
    heads, _ = two(shop)
    lines = shop.file("no,skus,cents\n1,tea,350\n", "lines.csv")
    refused(shop, r"needs the column 'sku' \(did you mean 'skus'\?\)", heads, lines)


def test_an_expression_that_fails_says_how_to_write_it(shop):
    heads, _ = two(shop)
    lines = shop.file("no,sku,cents\n1,tea,three\n", "lines.csv")
    refused(shop, "an expression of the mapping failed: Conversion Error.*Use TRY_CAST", heads, lines)


def test_an_absent_package_is_told_by_its_name_for_pip(shop):
    with_file_keys(shop, 'package = "no_such_shop"', 'path = "data/orders.csv"')
    refused(shop, "no-such-shop, which is not installed. Run: pip install no-such-shop")


def test_a_package_is_looked_up_and_not_run(shop, tmp_path: Path, monkeypatch):
    package = tmp_path / "packages" / "carrier_shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "orders.csv").write_text(f"{HEADER}\n{ROW}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    with_file_keys(shop, 'package = "carrier_shop"', 'path = "orders.csv"')
    assert shop.run()["tables"]["order_lines"]["accepted"] == 1


def test_fields_apart_by_white_space(shop):
    columns = HEADER.replace(",", '", "')
    shop.mapping(MAPPING.replace('format = "csv"', f'format = "whitespace"\ncolumns = ["{columns}"]'))
    counts = shop.run(shop.file(" 1  ann tea\t2024-01-05 2 3.5 \r\n\n2 bob\n3 cy cup 2024-01-06 1 1"))[
        "tables"
    ]
    assert counts["order_lines"]["accepted"] == 2
    assert [(row["row_number"], row["reason"]) for row in shop.quarantine()] == [
        (2, "2 fields where 6 were expected")
    ]


def test_a_file_without_a_header(shop):
    columns = HEADER.replace(",", '", "')
    with_file_keys(shop, f'columns = ["{columns}"]')
    counts = shop.run(shop.file(f"{ROW}\n2,bob\n"))["tables"]["order_lines"]
    assert (counts["read"], counts["accepted"]) == (2, 1)
    assert shop.quarantine()[0]["row_number"] == 2

from __future__ import annotations

import gzip

from recommending.data import read

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
ROWS = (
    "1,22423,STAND ,1,2011-01-01 10:00:00,9.5,7,France",
    "1,POST,POSTAGE,1,2011-01-01 10:00:00,18,7,France",
    "2,85099B,BAG,10,2011-01-02 10:00:00,2,,United Kingdom",
    "C3,22423,STAND,-1,2011-01-03 10:00:00,9.5,7,France",
    "4,85099B,BAG,-5,2011-01-03 10:00:00,0,,United Kingdom",
)


def test_online_retail_keeps_products_that_were_bought_and_guests(tmp_path):
    path = tmp_path / "shop.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEADER, *ROWS]).encode()))
    found = read(str(path))
    assert found.catalogue.product_ids.tolist() == ["22423", "85099B"]
    assert found.catalogue.titles.tolist() == ["STAND", "BAG"]
    assert found.customer.tolist() == [0, -1]
    assert found.timed


def test_a_line_a_customer_has_an_order_and_no_times(tmp_path):
    path = tmp_path / "tiny.txt"
    path.write_text("1 b a\n2 a\n")
    found = read(str(path))
    assert found.catalogue.product_ids.tolist() == ["a", "b"]
    assert found.product.tolist() == [1, 0, 0]
    assert found.at.tolist() == [0, 1, 0]
    assert not found.timed

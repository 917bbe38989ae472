"""The online store serves what the snapshot holds, and `check` finds where it does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from features.build import build
from features.check import check, same
from features.offline import latest
from features.online import OnlineFeatures
from features.rows import Rows, column
from features.store import PROJECT, apply, materialize
from features.views import SERVICES, VIEWS, named
from patron.errors import FeatureError
from patron.settings import Settings
from tests.features.snapshots import START, built, day, odd_shop, settings_of
from tests.shops import line, write_lake

CUTOFF = "2023-05-01"
REFERENCES = [ref for view in VIEWS if view.entity == "customer" for ref in view.references]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    tables = odd_shop(customers=40, days=150)
    tables["customers"][0] |= {"birthday": day("1960-05-01"), "attributes": '{"club": true}'}
    tables["customers"][1] |= {"signed_up_at": START, "consent_offers": False, "region": None}
    tables["customers"].append({"customer_id": "visitor", "region": "west"})
    settings = built(tmp_path_factory.mktemp("online"), [CUTOFF], **tables)
    materialize(settings)
    yield settings


@pytest.fixture(scope="module")
def online(shop: Settings) -> OnlineFeatures:
    return OnlineFeatures(shop)


def test_online_equals_offline(shop: Settings) -> None:
    outcome = check(shop)
    assert outcome["differences"] == {}
    assert outcome["as_of"] == "2023-05-01T00:00:00+00:00"
    assert outcome["features"] == len(REFERENCES)
    assert outcome["values"] == outcome["customers"] * outcome["features"] > 1000


def test_every_value_comes_in_the_same_form_online_and_offline(
    shop: Settings, online: OnlineFeatures
) -> None:
    offline = latest(shop, REFERENCES)
    rows = online.read(offline.ids, REFERENCES)
    for name, values in offline.columns.items():
        assert rows.columns[name].dtype == values.dtype, name
        for one, other in zip(values, rows.columns[name], strict=True):
            assert type(one) is type(other)
            assert getattr(one, "dtype", None) == getattr(other, "dtype", None) or one.dtype.kind == "U"
            assert same(one, other), name


def test_rows_come_in_the_order_asked(shop: Settings, online: OnlineFeatures) -> None:
    ids = latest(shop, ["customer_activity:orders_total"]).ids
    forward = online.read(ids, ["customer_activity:spend_total"])
    backward = online.read(ids[::-1], ["customer_activity:spend_total"])
    assert backward.ids == ids[::-1]
    np.testing.assert_array_equal(backward.columns["spend_total"], forward.columns["spend_total"][::-1])
    twice = online.read([ids[0], ids[1], ids[0]], ["customer_activity:spend_total"]).columns["spend_total"]
    assert twice[0] == twice[2]


def test_an_unknown_customer_is_not_known(online: OnlineFeatures) -> None:
    rows = online.read(["nobody", "c000", "visitor"], REFERENCES)
    assert rows.known.tolist() == [False, True, True]
    assert np.isnan(rows.columns["orders_total"]).tolist() == [True, False, True]
    assert rows.columns["region"].tolist() == [None, "south", "west"]
    assert rows.columns["own_product_ids"][0].size == 0
    assert rows.columns["history_bought_at"][0].dtype == np.int64
    assert rows.as_of == day(CUTOFF)


def test_products_are_read_by_their_own_entity(online: OnlineFeatures) -> None:
    rows = online.read(["p01", "none"], ["product_popularity:product_orders_365d"], entity="product")
    assert rows.known.tolist() == [True, False]
    assert rows.columns["product_orders_365d"][0] > 0


def test_no_ids_make_no_rows(online: OnlineFeatures) -> None:
    rows = online.read([], ["customer_activity:spend_total", "customer_profile:region"])
    assert (len(rows), rows.columns["spend_total"].dtype) == (0, np.float64)


def test_services_name_what_can_be_read(online: OnlineFeatures) -> None:
    assert set(REFERENCES) < online.offered_references()
    for service, views in SERVICES.items():
        references = {each for view in views for each in named(view).references}
        assert references, service
        assert references <= online.offered_references()


def test_feast_knows_the_services(shop: Settings) -> None:
    assert sorted(each.name for each in apply(shop).list_feature_services()) == sorted(SERVICES)


def test_an_empty_store_says_how_to_load_it(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="patron features materialize"):
        OnlineFeatures(settings_of(tmp_path))
    with pytest.raises(FeatureError, match="patron features build"):
        materialize(settings_of(tmp_path))


LINES = [line("a", "p", "2024-01-10"), line("b", "q", "2024-01-20"), line("c", "q", "2024-01-21")]


def test_check_finds_a_value_that_was_tampered_with(tmp_path: Path) -> None:
    settings = built(tmp_path, ["2024-02-01"], order_lines=LINES)
    materialize(settings)
    swap(settings, "spend_total", "recency_days")
    assert check(settings)["differences"] == {"customer_activity:recency_days": 3}


def swap(settings: Settings, source: str, target: str) -> None:
    """Store the values of one feature under another's name."""
    with closing(sqlite3.connect(settings.online / "online.db")) as store, store:
        table = f'"{PROJECT}_customer_activity"'
        store.execute(
            f"update {table} set value = (select value from {table} other where feature_name = ? "
            f"and other.entity_key = {table}.entity_key) where feature_name = ?",
            (source, target),
        )


def test_check_finds_a_snapshot_that_is_newer_than_what_was_loaded(tmp_path: Path) -> None:
    settings = built(tmp_path, ["2024-02-01"], order_lines=LINES)
    materialize(settings)
    write_lake(tmp_path, order_lines=[*LINES, line("a", "p", "2024-01-30")])
    build(settings, [day("2024-02-01")])
    assert "customer_activity:orders_total" in check(settings)["differences"]
    materialize(settings)
    assert check(settings)["differences"] == {}


def test_a_customer_who_left_the_lake_leaves_the_online_store(tmp_path: Path) -> None:
    settings = built(tmp_path, ["2024-02-01"], order_lines=LINES)
    materialize(settings)
    write_lake(tmp_path, order_lines=LINES[:2])
    build(settings, [day("2024-02-01")])
    materialize(settings)
    rows = OnlineFeatures(settings).read(["a", "b", "c"], REFERENCES)
    assert rows.known.tolist() == [True, True, False]


def test_take_keeps_positions_together() -> None:
    lists = column([["x"], None, ["y", "z"]], "Array(String)")
    columns = {
        "number": column([1, None, 3], "Int64"),
        "names": lists,
        "flag": column([True, None, False], "Bool"),
    }
    rows = Rows(["a", "b", "c"], columns, np.array([True, False, True]), None)
    for positions in (np.array([2, 0]), np.array([True, False, True])):
        taken = rows.take(positions)
        at = np.arange(3)[positions]
        assert taken.ids == [rows.ids[each] for each in at]
        assert taken.known.all()
        assert taken.columns["number"].tolist() == [[1, None, 3][each] for each in at]
        assert [each.tolist() for each in taken.columns["names"]] == [
            [["x"], [], ["y", "z"]][each] for each in at
        ]
    assert len(rows.take(np.zeros(3, dtype=bool))) == 0


def test_missing_equals_missing_and_nothing_else() -> None:
    assert same(np.nan, np.nan) and same(None, None) and same("x", "x")
    assert not same(0.0, np.nan) and not same(None, "x") and not same(1.0, np.nextafter(1.0, 2))
    assert not same(np.array([1.0]), np.array([1.0, 2.0]))

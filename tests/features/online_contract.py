"""What every online store must do, written once: a store's tests subclass it and say which it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.build import build
from features.check import check, same
from features.offline import latest
from features.online import OnlineFeatures
from features.store import forget, materialize
from features.views import SERVICES, VIEWS, named
from patron.errors import FeatureError
from patron.settings import Settings
from tests.features.snapshots import START, built, day, odd_shop, settings_of
from tests.shops import line, write_lake

CUTOFF = "2023-05-01"
REFERENCES = [ref for view in VIEWS if view.entity == "customer" for ref in view.references]
LINES = [line("a", "p", "2024-01-10"), line("b", "q", "2024-01-20"), line("c", "q", "2024-01-21")]


class OnlineStoreTests:
    """Subclasses override `online_store`."""

    online_store = ""

    @pytest.fixture(scope="class")
    @classmethod
    def shop(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
        tables = odd_shop(customers=40, days=150)
        tables["customers"][0] |= {"birthday": day("1960-05-01"), "attributes": '{"club": "\u00e9t\u00e9"}'}
        tables["customers"][1] |= {"signed_up_at": START, "consent_offers": False, "region": None}
        tables["customers"].append({"customer_id": "visitor", "region": "west"})
        tables["order_lines"].append(line("c\u00f6ln", "\u8336", START + timedelta(days=9)))
        yield cls.loaded(tmp_path_factory.mktemp("online"), CUTOFF, **tables)

    @classmethod
    def of(cls, settings: Settings) -> Settings:
        return settings.model_copy(update={"online_store": cls.online_store})

    @classmethod
    def loaded(cls, home: Path, cutoff: str, **tables: Any) -> Settings:
        settings = cls.of(built(home, [cutoff], **tables))
        materialize(settings)
        return settings

    @pytest.fixture(scope="class")
    @classmethod
    def online(cls, shop: Settings) -> OnlineFeatures:
        return OnlineFeatures(shop)

    def test_online_equals_offline(self, shop: Settings) -> None:
        outcome = check(shop)
        assert outcome["differences"] == {}
        assert outcome["as_of"] == "2023-05-01T00:00:00+00:00"
        assert outcome["features"] == len(REFERENCES)
        assert outcome["values"] == outcome["customers"] * outcome["features"] > 1000

    def test_every_value_comes_in_the_same_form_online_and_offline(
        self, shop: Settings, online: OnlineFeatures
    ) -> None:
        offline = latest(shop, REFERENCES)
        for few in (len(offline), 3):
            rows = online.read(offline.ids[:few], REFERENCES)
            for name, values in offline.columns.items():
                assert rows.columns[name].dtype == values.dtype, name
                for one, other in zip(values[:few], rows.columns[name], strict=True):
                    assert type(one) is type(other)
                    assert (
                        getattr(one, "dtype", None) == getattr(other, "dtype", None) or one.dtype.kind == "U"
                    )
                    assert same(one, other), name

    def test_rows_come_in_the_order_asked(self, shop: Settings, online: OnlineFeatures) -> None:
        ids = latest(shop, ["customer_activity:orders_total"]).ids
        spend = ["customer_activity:spend_total"]
        forward, backward = online.read(ids, spend), online.read(ids[::-1], spend)
        assert backward.ids == ids[::-1]
        np.testing.assert_array_equal(backward.columns["spend_total"], forward.columns["spend_total"][::-1])
        twice = online.read([ids[0], ids[1], ids[0]], spend).columns["spend_total"]
        assert twice[0] == twice[2]

    def test_an_unknown_customer_is_not_known(self, online: OnlineFeatures) -> None:
        rows = online.read(["nobody", "c000", "visitor"], REFERENCES)
        assert rows.known.tolist() == [False, True, True]
        assert np.isnan(rows.columns["orders_total"]).tolist() == [True, False, True]
        assert rows.columns["region"].tolist() == [None, "south", "west"]
        assert rows.columns["own_product_ids"][0].size == 0
        assert rows.columns["history_bought_at"][0].dtype == np.int64
        assert rows.as_of == online.as_of == day(CUTOFF)

    def test_a_customer_is_known_by_what_is_asked(self, online: OnlineFeatures) -> None:
        """A visitor has a profile and no orders; c001 has a profile without a region."""
        assert online.read(["visitor"], ["customer_activity:orders_total"]).known.tolist() == [False]
        assert online.read(["c001"], ["customer_profile:region"]).known.tolist() == [False]
        assert online.read(["c001"], ["customer_profile:tier"]).known.tolist() == [True]

    def test_products_are_read_by_their_own_entity(self, online: OnlineFeatures) -> None:
        rows = online.read(["p01", "none"], ["product_popularity:product_orders_365d"], entity="product")
        assert rows.known.tolist() == [True, False]
        assert rows.columns["product_orders_365d"][0] > 0

    def test_no_ids_make_no_rows(self, online: OnlineFeatures) -> None:
        rows = online.read([], ["customer_activity:spend_total", "customer_profile:region"])
        assert (len(rows), rows.columns["spend_total"].dtype) == (0, np.float64)
        assert rows.columns["region"].dtype == object

    def test_services_name_what_can_be_read(self, online: OnlineFeatures) -> None:
        assert set(REFERENCES) < online.offered_references()
        for service, views in SERVICES.items():
            references = {each for view in views for each in named(view).references}
            assert references, service
            assert references <= online.offered_references()

    def test_every_row_says_when_it_is_from(self, online: OnlineFeatures) -> None:
        assert online.event_times(["c000", "nobody"], "customer_activity") == [day(CUTOFF), None]

    def test_an_empty_store_says_how_to_load_it(self, tmp_path: Path) -> None:
        with pytest.raises(FeatureError, match="patron features materialize"):
            OnlineFeatures(self.of(settings_of(tmp_path)))
        with pytest.raises(FeatureError, match="patron features build"):
            materialize(self.of(settings_of(tmp_path)))

    def test_a_newer_snapshot_takes_the_place_of_the_old(self, tmp_path: Path) -> None:
        settings = self.loaded(tmp_path, "2024-02-01", order_lines=LINES)
        write_lake(tmp_path, order_lines=[*LINES[:2], line("a", "p", "2024-01-30")])
        build(settings, [day("2024-02-01")])
        assert "customer_activity:orders_total" in check(settings)["differences"]
        materialize(settings)
        assert check(settings)["differences"] == {}
        rows = OnlineFeatures(settings).read(["a", "b", "c"], REFERENCES)
        assert rows.known.tolist() == [True, True, False], "c left the lake"

    def test_a_forgotten_customer_is_unknown_and_the_others_stay(self, tmp_path: Path) -> None:
        settings = self.loaded(tmp_path, "2024-02-01", order_lines=LINES)
        online = OnlineFeatures(settings)
        assert online.read(["a", "b"], REFERENCES).known.all()
        assert forget(settings, "customer", "a") > 1
        assert forget(settings, "customer", "a") == forget(settings, "customer", "nobody") == 0
        assert online.read(["a", "b"], REFERENCES).known.tolist() == [False, True]
        assert online.read(["p"], ["product_popularity:buyers_365d"], entity="product").known.all()

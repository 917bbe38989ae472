"""Nothing is learned from customers who refuse it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features.build import build
from features.store import apply
from patron.settings import PROJECT, Settings
from tests.shops import line, random_shop, write_lake
from tests.training.shop import DAYS, START, settings_of
from training.churn import ChurnJob
from training.consent import withheld
from training.labels import Orders
from training.purchases import Purchases

REFUSED = {"c001", "c004"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("refused")
    tables = random_shop(customers=60, products=20, days=DAYS, start=START)
    for each in tables["customers"]:
        each["consent_training"] = each["customer_id"] not in REFUSED
    tables["customers"] = tables["customers"][:40]  # of the others nothing is known: nobody refused
    write_lake(home, **tables)
    settings = settings_of(home, configs=PROJECT / "configs")
    build(settings)
    apply(settings)
    return settings


def test_who_refused_is_known_and_who_said_nothing_did_not(shop: Settings) -> None:
    assert withheld(shop) == REFUSED


def test_recommenders_do_not_see_their_purchases(shop: Settings) -> None:
    purchases = Purchases(shop)
    assert not REFUSED & set(purchases.customers.tolist())
    assert {"c002", "c003"} <= set(purchases.customers.tolist())
    assert (purchases.customer == -1).any()  # guests stay


def test_customer_models_do_not_see_them(shop: Settings) -> None:
    seen = {each for followed in ChurnJob(shop).data.values() for each in followed.rows.ids}
    assert not REFUSED & seen
    assert {"c002", "c003"} <= seen


def test_the_churn_horizon_and_margins_are_not_theirs(tmp_path: Path) -> None:
    """Who refused comes every three days and takes what costs half."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    lines = [line("c001", "cup", start + timedelta(days=each)) for each in range(0, 30, 3)]
    lines += [line("c002", "tea", start + timedelta(days=each)) for each in range(0, 30, 10)]
    costs = [{"product_id": "cup", "unit_cost": 5}, {"product_id": "tea", "unit_cost": 8}]
    people = [{"customer_id": "c001", "consent_training": False}]
    write_lake(tmp_path, order_lines=lines, products=costs, customers=people)
    orders = Orders(settings_of(tmp_path))
    assert orders.gaps().tolist() == [10, 10]
    assert orders.costs(start + timedelta(days=60)) == (1, pytest.approx(0.2))
    assert set(orders.names.tolist()) == {"c002"}


def test_the_shop_is_long_enough_for_the_test_to_mean_something(shop: Settings) -> None:
    assert max(Purchases(shop).at) > (START + timedelta(days=DAYS - 20)).timestamp()

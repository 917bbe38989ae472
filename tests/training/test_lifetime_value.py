"""The lifetime value job: what it predicts, which customers it learns from, and that nothing leaks."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from patron.errors import DataError
from tests.training.shop import open_shop, tables
from training.lifetime_value import LifetimeValueJob, hashed


def costly(share: float) -> dict[str, list[dict]]:
    """The small shop, where products cost `share` of their price."""
    shop = tables(customers=80, days=330)
    for each in shop["products"]:
        each["unit_cost"] = share * each["price"]
    for each in shop["order_lines"]:
        each["discount"] = None
    return shop


@pytest.fixture(scope="module")
def margins(tmp_path_factory: pytest.TempPathFactory) -> LifetimeValueJob:
    return LifetimeValueJob(open_shop(tmp_path_factory.mktemp("margins") / "home", costly(0.75)))


def test_margin_is_predicted_where_costs_are_known(margins):
    """Every product costs three quarters of its price: the margin is a quarter of the revenue, to a cent."""
    assert margins.worth() == ("margin", pytest.approx(0.25, abs=0.01))
    plain = LifetimeValueJob(margins.settings, {"value_of": "revenue"})
    assert plain.worth() == ("revenue", 1.0)
    test = margins.data[margins.test]
    np.testing.assert_allclose(test.revenue, 0.25 * plain.data[plain.test].revenue, atol=1.5)
    model = margins.fit("lightgbm", shipped=False)
    assert (model.value_of, model.config.value_of) == ("margin", "margin")
    total = model.predict(test.rows.columns).expected_value.sum()
    assert total == pytest.approx(np.maximum(test.revenue, 0).sum(), rel=0.4)
    assert margins.facts()["value_of"] == "margin"


def test_margin_is_not_guessed(margins):
    """Costs of half of the revenue: revenue is predicted, unless margin is asked for."""
    job = copy(margins)
    job.orders = copy(margins.orders)
    job.orders.costed, job.orders.cost = 0.5 * margins.orders.costed, 0.5 * margins.orders.cost
    assert job.worth() == ("revenue", 1.0)
    assert job.model("history").value_of == "revenue"
    job.overrides = {"value_of": "margin"}
    assert job.worth() == ("margin", pytest.approx(0.25, abs=0.01))


def test_margin_without_costs_is_refused(shop):
    assert LifetimeValueJob(shop).worth() == ("revenue", 1.0)
    with pytest.raises(DataError, match="value_of is margin, but none is known: 0% of the year's revenue"):
        LifetimeValueJob(shop, {"value_of": "margin"}).worth()


def test_labels_of_the_fit_end_by_the_test(shop):
    job = LifetimeValueJob(shop)
    for windows in (job.judged, job.shipped):
        ends = [each.timestamp() + 86_400 * job.horizon_days for each in (*windows.fit, windows.calibrate)]
        assert max(ends) <= windows.test.timestamp()


def test_a_customer_is_in_one_group_at_every_cutoff():
    assert hashed(["ann", "bob", "ann"])[[0, 2]].tolist() == hashed(["ann", "ann"]).tolist()
    assert len(set((hashed([f"c{each}" for each in range(200)]) % 5).tolist())) == 5


def test_a_shuffled_test_window_scores_as_chance(shop):
    job, found = LifetimeValueJob(shop), []
    model = job.fit("lightgbm", shipped=False)
    honest = job.judge(model).metrics["gini"]
    last = job.data[job.test]
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(last.orders))
        job.data[job.test] = replace(last, revenue=last.revenue[order], orders=last.orders[order])
        found.append(job.judge(model).metrics["gini"])
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(20)
    assert honest > 4 * np.std(found)

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.base import configured
from patron.models.buying import Buying
from patron.models.lifetime_value import LifetimeValue, LifetimeValueConfig, ValueEstimates
from patron.models.past_value import history
from patron.settings import PROJECT
from tests.model_contract import ModelContract
from tests.patron.models.shop import HORIZON, head, missing, shop


@cache
def lifetime_value(kind="lightgbm", seed=7):
    made = shop(500, seed=1)
    model = LifetimeValue(LifetimeValueConfig(kind=kind, trees=80))
    return model.fit(made.rows, made.revenue, made.orders, HORIZON, seed=seed, threads=1)


def answers(model, rows):
    found = [model.predict(rows, days) for days in (HORIZON, 180, 730)]
    told = ["; ".join(f"{each.code} {each.text}" for each in reasons) for reasons in model.reasons(rows)]
    numbers = [
        getattr(each, name)
        for each in found
        for name in ("expected_value", "low", "high", "expected_orders", "probability_active")
    ]
    return [*numbers, model.value_tiers(rows), told]


class LifetimeValueContract(ModelContract):
    name = "patron-lifetime-value"
    kind = "lightgbm"

    def fitted(self, seed):
        return lifetime_value.__wrapped__(self.kind, seed)

    def answers(self, model):
        return answers(model, shop(50, seed=3).rows)

    def answers_when_missing(self, model):
        return answers(model, missing(shop(5).rows))

    def answers_when_empty(self, model):
        return answers(model, head(shop(5).rows, 0))

    def test_estimates_are_sane(self, model):
        rows = shop(300, seed=4).rows
        found = model.predict(rows, HORIZON)
        assert (found.low >= 0).all()
        assert (found.low <= found.expected_value).all()
        assert (found.expected_value <= found.high).all()
        assert ((found.probability_active >= 0) & (found.probability_active <= 1)).all()

    def test_a_longer_horizon_is_never_worth_less(self, model):
        rows = shop(300, seed=4).rows
        found = [model.predict(rows, days) for days in (1, 30, HORIZON, 90, 365, 730)]
        for shorter, longer in pairwise(found):
            for name in ("expected_value", "low", "high", "expected_orders", "probability_active"):
                assert (getattr(shorter, name) <= getattr(longer, name) * (1 + 1e-9)).all(), name
            assert shorter.expected_value.sum() < longer.expected_value.sum()

    def test_the_trained_horizon_is_the_default(self, model):
        rows = shop(50, seed=4).rows
        asked, usual = model.predict(rows, HORIZON), model.predict(rows)
        for name in ("expected_value", "low", "high"):
            np.testing.assert_array_equal(getattr(asked, name), getattr(usual, name))

    def test_one_customer_is_answered_as_in_a_batch(self, model):
        rows = shop(40, seed=4).rows
        together = model.predict(rows, 365)
        for at in range(40):
            alone = model.predict({name: each[at : at + 1] for name, each in rows.items()}, 365)
            for name in ("expected_value", "low", "high", "expected_orders", "probability_active"):
                assert getattr(alone, name)[0] == pytest.approx(getattr(together, name)[at], rel=1e-12)

    def test_the_total_is_near(self, model):
        other = shop(2000, seed=5)
        assert model.predict(other.rows).expected_value.sum() == pytest.approx(other.revenue.sum(), rel=0.25)

    def test_intervals_cover(self, model):
        other = shop(2000, seed=6)
        found = model.predict(other.rows)
        inside = (other.revenue >= found.low) & (other.revenue <= found.high)
        assert 0.76 < inside.mean() < 0.9


class TestLightGBMValue(LifetimeValueContract):
    kind = "lightgbm"


class TestBuyTillYouDieValue(LifetimeValueContract):
    kind = "btyd"


class TestHistoryValue(LifetimeValueContract):
    kind = "history"


def test_models_beat_the_history():
    other = shop(2000, seed=8)
    errors = {
        kind: np.abs(lifetime_value(kind).predict(other.rows).expected_value - other.revenue).mean()
        for kind in ("history", "btyd", "lightgbm")
    }
    assert errors["btyd"] < errors["history"]
    assert errors["lightgbm"] < errors["history"]


def test_high_and_low_follow_the_shares():
    made, model = shop(500, seed=1), lifetime_value("btyd")
    values, tiers = model.predict(made.rows).expected_value, model.value_tiers(made.rows)
    assert (tiers == "high").mean() == pytest.approx(0.2, abs=0.01)
    assert np.isin(tiers, ("middle", "potential")).sum() + (tiers == "low").sum() == (tiers != "high").sum()
    assert values[tiers == "high"].min() >= values[tiers != "high"].max()
    assert values[tiers == "middle"].min() >= values[tiers == "low"].max()


def test_potential_is_who_may_reach_the_high_tier_and_is_young_or_growing():
    model = LifetimeValue(LifetimeValueConfig(kind="btyd"))
    model.tiers = (10.0, 100.0)
    told = np.array([100.0, 50.0, 50.0, 50.0, 50.0, 5.0, 5.0])
    high = np.array([500.0, 100.0, 99.0, 100.0, 100.0, 100.0, 20.0])
    rows = {
        "tenure_days": np.array([30.0, 180.0, 30.0, 400.0, 400.0, 181.0, 30.0]),
        "spend_90d": np.array([0.0, 0.0, 0.0, 90.0, 80.0, 100.0, 0.0]),
        "spend_365d": np.array([0.0, 0.0, 0.0, 243.0, 243.0, 100.0, 0.0]),
    }
    found = ValueEstimates(told, np.zeros(7), high, told, told)
    expected = ["high", "potential", "middle", "potential", "middle", "potential", "low"]
    assert model.value_tiers(rows, found).tolist() == expected


@pytest.mark.parametrize(
    ("days", "expected"), [(15, 5), (30, 10), (60, 40), (90, 70), (365, 100), (730, 200)]
)
def test_history_reads_the_same_length_of_time(days, expected):
    rows = {"spend_30d": np.array([10.0]), "spend_90d": np.array([70.0]), "spend_365d": np.array([100.0])}
    rows |= dict.fromkeys(("returned_30d", "returned_90d", "returned_365d"), np.zeros(1))
    assert history(rows, "spend", days) == pytest.approx([expected])


def test_history_subtracts_what_came_back():
    rows = {"spend_30d": np.array([10.0]), "spend_90d": np.array([70.0]), "spend_365d": np.array([100.0])}
    rows |= {
        "returned_30d": np.array([4.0]),
        "returned_90d": np.array([69.0]),
        "returned_365d": np.array([90.0]),
    }
    assert [float(history(rows, "spend", days)[0]) for days in (30, 90, 365)] == [6.0, 6.0, 10.0]


def test_a_shop_where_nobody_came_back_is_still_answered():
    made = shop(60, seed=1)
    once = {name: np.full(60, np.nan) if "gap" in name else column for name, column in made.rows.items()}
    once |= {"purchase_days": np.ones(60), "repeat_spend_mean": np.full(60, np.nan)}
    model = LifetimeValue(LifetimeValueConfig(kind="btyd"))
    model.fit(once, made.revenue, made.orders, HORIZON, seed=1, threads=1)
    assert model.buying == Buying()
    assert np.isfinite(model.predict(once).expected_value).all()


def test_of_those_said_to_buy_so_many_do():
    made, other = shop(3000, seed=1), shop(3000, seed=2)
    model = LifetimeValue(LifetimeValueConfig(trees=5))
    model.fit(made.rows, made.revenue, made.orders, HORIZON, seed=7, threads=1)
    told, bought = model.predict(other.rows).probability_active, other.orders > 0
    for low, high in ((0, 0.3), (0.3, 0.7), (0.7, 1)):
        group = (told >= low) & (told < high)
        assert group.sum() > 50
        assert told[group].mean() == pytest.approx(bought[group].mean(), abs=0.06)


@pytest.mark.parametrize("customers", [1, 2, 40])
def test_a_single_spender_is_enough(customers):
    """Where all who spent are in one fold, the others teach it nothing."""
    made, spent = shop(customers, seed=1), np.zeros(customers)
    spent[0] = 50.0
    model = LifetimeValue(LifetimeValueConfig(trees=5))
    model.fit(made.rows, spent, (spent > 0).astype(float), HORIZON, seed=1, threads=1)
    assert np.isfinite(model.predict(made.rows).expected_value).all()


@pytest.mark.parametrize("kind", ["lightgbm", "btyd"])
def test_margin_is_told_where_it_is_learned(kind, tmp_path):
    """Every customer's margin is a quarter of the revenue: a quarter is predicted."""
    made, other, found = shop(300, seed=1), shop(100, seed=2), {}
    for value_of, share in (("revenue", 1.0), ("margin", 0.25)):
        model = LifetimeValue(LifetimeValueConfig(kind=kind, trees=80, value_of=value_of))
        values = share * made.revenue
        model.fit(made.rows, values, made.orders, HORIZON, seed=7, threads=1, margin_share=share)
        found[value_of] = model.predict(other.rows)
    model.save(tmp_path)
    assert json.loads((tmp_path / "lifetime_value.json").read_text())["value_of"] == "margin"
    assert LifetimeValue.load(tmp_path).value_of == "margin"
    for name in ("expected_value", "low", "high"):
        quarter = 0.25 * getattr(found["revenue"], name)
        np.testing.assert_allclose(getattr(found["margin"], name), quarter, rtol=1e-6)


def test_a_customer_of_two_moments_is_never_in_the_fit_and_beside_it():
    """Who stands twice with an outcome of his own: trees that saw him once would know him."""
    made = shop(201, seed=1)
    rng = np.random.default_rng(1)
    noise = rng.exponential(100, 201)
    rows = {name: np.tile(each, 2) for name, each in made.rows.items()}
    rows["mean_order_value"] = np.tile(rng.uniform(size=201), 2)  # tells customers apart, and nothing else
    config = LifetimeValueConfig(
        trees=60, leaves=31, min_leaf_customers=2, min_leaf_share=0, learning_rate=0.3
    )
    seen = {}
    for name, customers in (("told", np.tile(np.arange(201), 2)), ("not told", None)):
        model = LifetimeValue(config)
        model.fit(rows, np.tile(noise, 2), np.ones(402), HORIZON, seed=1, customers=customers)
        seen[name] = np.corrcoef(model.crossed, np.tile(noise, 2))[0, 1]
    assert seen["not told"] > 0.5
    assert abs(seen["told"]) < 0.25


def test_what_cannot_be_learned_is_said():
    made = shop(30)
    with pytest.raises(DataError, match="None of 30 customers spent anything within 60 days"):
        LifetimeValue().fit(made.rows, np.zeros(30), np.zeros(30), HORIZON, seed=1, threads=1)
    with pytest.raises(DataError, match="no customer to learn revenue from"):
        LifetimeValue().fit(head(made.rows, 0), np.zeros(0), np.zeros(0), HORIZON, seed=1, threads=1)
    with pytest.raises(DataError, match="values of revenue are not finite"):
        LifetimeValue().fit(made.rows, np.full(30, np.nan), np.zeros(30), HORIZON, seed=1, threads=1)
    with pytest.raises(DataError, match="not fitted"):
        LifetimeValue().predict(made.rows)


def test_the_shipped_config_opens():
    found, config = configured(PROJECT / "configs" / "models" / "lifetime-value.toml")
    assert found is LifetimeValue
    assert config == LifetimeValueConfig()

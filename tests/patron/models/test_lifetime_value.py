from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from patron.errors import DataError
from patron.models.base import configured
from patron.models.buying import Buying
from patron.models.conformal import Intervals
from patron.models.lifetime_value import LifetimeValue, LifetimeValueConfig, history
from patron.settings import PROJECT
from tests.model_contract import ModelContract
from tests.patron.models.shop import HORIZON, head, missing, shop


@cache
def lifetime_value(kind="lightgbm", seed=7):
    fitting, calibrating = shop(400, seed=1), shop(400, seed=2)
    model = LifetimeValue(LifetimeValueConfig(kind=kind, trees=80))
    model.fit(fitting.rows, fitting.revenue, fitting.orders, HORIZON, seed=seed, threads=1)
    return model.calibrate(calibrating.rows, calibrating.revenue)


def answers(model, rows):
    found = [model.predict(rows, days) for days in (HORIZON, 180, 730)]
    told = ["; ".join(f"{each.code} {each.text}" for each in reasons) for reasons in model.reasons(rows)]
    numbers = [
        getattr(each, name)
        for each in found
        for name in ("expected_value", "low", "high", "expected_orders", "probability_active")
    ]
    return [*numbers, model.value_tiers(found[0].expected_value), told]


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

    def test_a_longer_horizon_is_worth_more(self, model):
        rows = shop(300, seed=4).rows
        values = [model.predict(rows, days).expected_value.sum() for days in (30, HORIZON, 365)]
        assert values[0] < values[1] < values[2]

    def test_the_total_is_near(self, model):
        other = shop(2000, seed=5)
        assert model.predict(other.rows).expected_value.sum() == pytest.approx(other.revenue.sum(), rel=0.25)

    def test_intervals_cover(self, model):
        other = shop(2000, seed=6)
        found = model.predict(other.rows)
        inside = (other.revenue >= found.low) & (other.revenue <= found.high)
        assert inside.mean() > 0.76


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


def test_tiers_follow_the_shares():
    model = lifetime_value("btyd")
    values = model.predict(shop(400, seed=2).rows).expected_value
    tiers = model.value_tiers(values)
    assert (tiers == "high").mean() == pytest.approx(0.2, abs=0.01)
    assert (tiers == "middle").mean() == pytest.approx(0.3, abs=0.01)
    assert values[tiers == "high"].min() >= values[tiers == "middle"].max()


@pytest.mark.parametrize(
    ("days", "expected"), [(15, 5), (30, 10), (60, 40), (90, 70), (365, 100), (730, 200)]
)
def test_history_reads_the_same_length_of_time(days, expected):
    rows = {"spend_30d": np.array([10.0]), "spend_90d": np.array([70.0]), "spend_365d": np.array([100.0])}
    assert history(rows, "spend", days) == pytest.approx([expected])


def test_a_shop_where_nobody_came_back_is_still_answered():
    made = shop(60, seed=1)
    once = {name: np.full(60, np.nan) if "gap" in name else column for name, column in made.rows.items()}
    once |= {"purchase_days": np.ones(60), "repeat_spend_mean": np.full(60, np.nan)}
    model = LifetimeValue(LifetimeValueConfig(kind="btyd"))
    model.fit(once, made.revenue, made.orders, HORIZON, seed=1, threads=1)
    assert model.buying == Buying()
    assert np.isfinite(model.predict(once).expected_value).all()


def test_conformal_intervals_hold_in_every_bin():
    rng = np.random.default_rng(3)
    predicted = rng.gamma(1, 50, 6000)
    actual = predicted * rng.gamma(0.5, 2, 6000) * (rng.uniform(size=6000) < 0.6)
    low, high = Intervals.fit(predicted[:3000], actual[:3000], 0.8)(predicted[3000:])
    inside = (actual[3000:] >= low) & (actual[3000:] <= high)
    for part in np.array_split(np.argsort(predicted[3000:]), 5):
        assert inside[part].mean() == pytest.approx(0.8, abs=0.06)


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

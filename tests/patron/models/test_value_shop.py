"""Lifetime value on customers whose law is known: they buy by Pareto/NBD and spend by Gamma-Gamma."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from patron.models.lifetime_value import LifetimeValue, LifetimeValueConfig
from tests.patron.models.value_shop import HORIZON, History, history
from training import metrics

PAST, NOW = (150, 178, 206), (300,)


@cache
def past(growth=0.0) -> History:
    return history(PAST, growth=growth)


@cache
def fitted(kind="lightgbm", growth=0.0) -> LifetimeValue:
    made = past(growth)
    model = LifetimeValue(LifetimeValueConfig(kind=kind))
    return model.fit(made.rows, made.spent, made.orders, HORIZON, seed=1, customers=made.customers)


@cache
def following(growth=0.0) -> History:
    """Other customers, later."""
    return history(NOW, customers=1200, seed=2, growth=growth)


def test_intervals_cover_customers_and_a_time_that_nobody_saw():
    found, other = fitted().predict(following().rows), following()
    covered = metrics.interval_coverage(other.spent, found.low, found.high)
    assert 0.75 < covered < 0.9
    assert np.mean(found.high - found.low) < 4 * other.spent.mean()


def test_trees_lose_nothing_where_buy_till_you_die_is_the_truth():
    found = {
        kind: metrics.gini(following().spent, fitted(kind).predict(following().rows).expected_value)
        for kind in ("lightgbm", "btyd", "history")
    }
    assert found["lightgbm"] > found["btyd"] - 0.02
    assert found["lightgbm"] > found["history"]


def test_the_level_follows_a_trend_that_customers_share():
    """Spend grows by a fifth in a quarter: the level of past windows carries part of it, Pareto/NBD none."""
    growth = np.log(1.2) / HORIZON
    bias = {
        kind: metrics.total_bias(
            following(growth).spent, fitted(kind, growth).predict(following(growth).rows).expected_value
        )
        for kind in ("lightgbm", "btyd")
    }
    assert abs(bias["lightgbm"]) < abs(bias["btyd"])
    assert abs(bias["lightgbm"]) < 0.2


def test_shuffled_outcomes_are_not_predicted():
    """The fit saw noise: what trees that did not see a customer make of it ranks nobody."""
    made, found = past(), []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        order = rng.permutation(made.customers.max() + 1)
        # a customer keeps one outcome over all cutoffs, of somebody else
        spent = np.bincount(made.customers, made.spent, minlength=len(order))[order][made.customers]
        model = LifetimeValue(LifetimeValueConfig(trees=60))
        model.fit(made.rows, spent, made.orders, HORIZON, seed=1, customers=made.customers)
        correction = model.crossed / np.maximum(fitted("btyd").predict(made.rows).expected_value, 1)
        found.append(metrics.spearman(spent, correction))
    assert abs(np.mean(found)) < 0.08


@pytest.mark.parametrize("horizons", [(30, 90, 365)])
def test_every_customer_is_worth_more_in_a_longer_time(horizons):
    values = [fitted().predict(following().rows, days) for days in horizons]
    for name in ("low", "expected_value", "high"):
        short, usual, long = (getattr(each, name) for each in values)
        assert (short <= usual * (1 + 1e-12)).all()
        assert (usual <= long * (1 + 1e-12)).all()

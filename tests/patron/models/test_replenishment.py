from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from patron.errors import DataError, FeatureError
from patron.models.base import configured, history
from patron.models.bought_pairs import of_history, pairs
from patron.models.catalogue import Catalogue
from patron.models.hazard import Hazard
from patron.models.replenishment import (
    INPUTS,
    Replenishment,
    ReplenishmentConfig,
    columns,
    first_of_each,
    told,
)
from patron.models.usual_intervals import UsualIntervals, credibility, shrunk
from patron.settings import PROJECT
from tests.model_contract import ModelContract
from tests.purchases import history as bought
from tests.purchases import purchases

USUAL = UsualIntervals(
    np.array(["candle", "coffee", "milk"]), np.array([90.0, 21.0, 7.0]), np.array([0.01, 0.6, 0.9]), 20.0, 0.3
)


def rows(customers):
    """Feature rows of lists of (product, times, days since, interval or -1, times in 28, in 91 days)."""
    names = ("product_ids", "times_bought", "days_since", "interval_days", "times_28d", "times_91d")
    kinds = (np.str_, np.int64, np.float64, np.float64, np.int64, np.int64)
    found = {}
    for place, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        column = np.empty(len(customers), dtype=object)
        for row, each in enumerate(customers):
            column[row] = np.array([entry[place] for entry in each], dtype=kind)
        found[f"own_{name}"] = column
    return found


ANN = [("candle", 3, 40, 30, 0, 2), ("coffee", 8, 16, 21, 1, 4), ("milk", 20, 2, 7, 4, 13)]
BOB = [("coffee", 1, 30, -1, 0, 1)]


def market(customers=400, seed=1):
    """(rows, waits of every pair): each buys coffee and milk at a rhythm of its own, and some left."""
    rng = np.random.default_rng(seed)
    found, waits = [], []
    for _ in range(customers):
        entries = []
        for name, usual in (("candle", 90), ("coffee", 21), ("milk", 7)):
            own = usual * rng.lognormal(0, 0.3)
            since = rng.exponential(own) if rng.random() < 0.7 else rng.uniform(2, 10) * own
            times = int(rng.integers(1, 12))
            gone = since > 3 * own
            wait = np.inf if gone else rng.exponential(own)
            entries.append(
                (
                    since,
                    wait,
                    (name, times, since, own if times > 1 else -1, int(since < 28), int(since < 91)),
                )
            )
        entries.sort(key=lambda each: -each[0])
        found.append([each[2] for each in entries])
        waits += [each[1] for each in entries]
    return rows(found), np.array(waits)


def fitted(kind="hazard", seed=1, **config):
    model = Replenishment(ReplenishmentConfig(kind=kind, **config)).knowing(USUAL)
    lessons = []
    for of in (seed, seed + 1):
        given, waits = market(seed=of)
        found = pairs(given)
        wanted = model.replenishable(found)
        lessons.append((model.inputs(found.take(wanted)), waits[wanted]))
    return model.fit(*lessons[0]).calibrate([lessons[1]] * 3)


def answers(model, given):
    found = model.table(given, 5)
    numbers = [found.customer, found.times, found.interval_days, found.due_in_days, found.probability]
    return [*numbers, found.product_ids, found.texts()]


class ReplenishmentContract(ModelContract):
    name = "patron-replenishment"
    kind = "hazard"

    def fitted(self, seed):
        return fitted(self.kind, seed)

    def answers(self, model):
        return answers(model, market(40, seed=9)[0])

    def answers_when_missing(self, model):
        return answers(model, rows([BOB, [], [("unheard of", 5, 10, 10, 1, 4)], ANN]))

    def answers_when_empty(self, model):
        return answers(model, rows([]))

    def test_one_customer_is_answered_as_in_a_batch(self, model):
        given, _ = market(40, seed=9)
        table = model.table(given, 2)
        for row in range(40):
            due = model.due(history(given, row), 2)
            mine = np.flatnonzero(table.customer == row)
            assert [each.product_id for each in due] == table.product_ids[mine].tolist()
            assert [each.text for each in due] == [table.texts()[each] for each in mine]
            for each, place in zip(due, mine, strict=True):
                assert list(each.probability_within.values()) == pytest.approx(table.probability[place])

    def test_longer_is_never_less_likely(self, model):
        chance = model.table(market(200, seed=5)[0], 5).probability
        assert (np.diff(chance, axis=1) >= 0).all()
        assert chance.min() > 0 and chance.max() < 1


class TestHazard(ReplenishmentContract):
    pass


class TestOwnInterval(ReplenishmentContract):
    kind = "own_interval"


class TestUsualInterval(ReplenishmentContract):
    kind = "usual_interval"


# What is due


def test_the_words_and_the_numbers_agree():
    due = {each.product_id: each for each in fitted().due(history(rows([ANN]), 0))}
    coffee = due["coffee"]
    assert coffee.text == "coffee is due in 5 days: bought 8 times, usually every 21 days"
    assert coffee.due_in_days == pytest.approx(5)
    assert list(coffee.probability_within) == [7, 14, 28]
    assert "candle" not in due, "seldom bought again by anybody"


@pytest.mark.parametrize(
    ("due_in", "times", "interval", "text"),
    [
        (5.4, 8, 21, "tea is due in 5 days: bought 8 times, usually every 21 days"),
        (1, 2, 1.2, "tea is due in 1 day: bought twice, usually every 1 day"),
        (0.4, 3, 30, "tea is due today: bought 3 times, usually every 30 days"),
        (-3, 3, 30, "tea was due 3 days ago: bought 3 times, usually every 30 days"),
        (-1.2, 1, 30, "tea was due 1 day ago: bought once, usually every 30 days"),
    ],
)
def test_words(due_in, times, interval, text):
    assert told("tea", due_in, times, interval) == text


def test_titles_are_told_where_known():
    model = fitted()
    model.knowing(USUAL, replace(Catalogue.of(np.array(["coffee"])), titles=np.array(["Dark roast"])))
    texts = [each.text for each in model.due(history(rows([ANN]), 0))]
    assert any(each.startswith("Dark roast is due") for each in texts)
    assert any(each.startswith("milk ") for each in texts)


def test_bought_once_or_hardly_likely_is_not_told():
    assert fitted().due(history(rows([BOB]), 0)) == []
    assert len(fitted(least_times=1).due(history(rows([BOB]), 0))) == 1
    least = fitted(least_probability=0.6).table(market(50, seed=3)[0], 5).probability[:, -1].min()
    assert 0.6 <= least < 0.9


def test_a_history_that_nobody_counted_is_answered():
    assert {each.product_id for each in fitted().due(bought(("coffee", 8, 16, 21), ("milk", 20, 2, 7)))} == {
        "coffee",
        "milk",
    }


def test_no_more_than_asked_and_the_likeliest_first():
    table = fitted().table(market(50, seed=3)[0], 1)
    assert len(np.unique(table.customer)) == len(table)
    first = first_of_each(np.array([0, 0, 0, 2]), np.array([0.1, 0.5, 0.3, 0.2]), 2)
    assert first.tolist() == [1, 2, 3]


def test_what_was_fitted_holds_on_other_customers():
    model = fitted()
    given, waits = market(3000, seed=77)
    found = pairs(given)
    wanted = model.replenishable(found)
    chance = model.within(found.take(wanted))
    for place, days in enumerate((7, 14, 28)):
        assert chance[:, place].mean() == pytest.approx((waits[wanted] < days).mean(), abs=0.04)


def test_who_was_not_fitted_says_so():
    with pytest.raises(DataError, match="was not fitted"):
        Replenishment().knowing(USUAL).due(history(rows([ANN]), 0))


def test_the_shipped_config():
    found, config = configured(PROJECT / "configs" / "models" / "replenishment.toml")
    assert found is Replenishment
    assert config == ReplenishmentConfig()


# Pairs


def test_pairs_are_the_lists_one_after_another():
    found = pairs(rows([ANN, [], BOB]))
    assert (found.customers, len(found)) == (3, 4)
    assert found.customer.tolist() == [0, 0, 0, 2]
    assert found.product_ids.tolist() == ["candle", "coffee", "milk", "coffee"]
    assert found.recency.tolist() == [2, 2, 2, 30]
    assert found.visits_28d.tolist() == [2, 2, 2, 0]
    assert found.visits_91d.tolist() == [3, 3, 3, 1]
    assert found.bought_91d.tolist() == [19, 19, 19, 1]
    assert np.isnan(found.interval_days[3])


def test_one_history_gives_the_same_pairs():
    given = rows([ANN])
    one, many = of_history(history(given, 0)), pairs(given)
    for name, numbers in columns(many, USUAL).items():
        assert numbers.tolist() == columns(one, USUAL)[name].tolist()
    assert set(columns(many, USUAL)) >= {each for names in INPUTS.values() for each in names}


def test_a_list_that_was_not_read_is_named():
    given = rows([ANN])
    del given["own_times_28d"]
    with pytest.raises(FeatureError, match="own_times_28d"):
        pairs(given)


# Usual intervals


def test_usual_intervals_are_those_of_the_product_its_category_and_all():
    milk = [(who, "milk", day) for who in "abcdefgh" for day in range(0, 99, 7)]
    oil = [(who, "oil", day) for who in "abcdefgh" for day in range(0, 99, 30)]
    cream = [("a", "cream", 1)]
    stocked = replace(
        Catalogue.of(np.array(["cream", "milk", "oil"])), categories=np.array(["dairy", "dairy", "pantry"])
    )
    found = UsualIntervals.fit(purchases([*milk, *oil, *cream]), stocked)
    days = dict(zip(found.product_ids.tolist(), found.intervals.tolist(), strict=True))
    assert 7 < days["milk"] < 8
    assert 18 < days["oil"] < 30
    assert days["milk"] < days["cream"] < days["oil"], "never repeated: as its category is"
    rates = dict(zip(found.product_ids.tolist(), found.repeat_rates.tolist(), strict=True))
    assert rates["milk"] > rates["cream"] > 0.5


def test_lines_of_one_order_are_no_repeat():
    found = UsualIntervals.fit(purchases([("a", "x", 1), ("a", "x", 1), ("b", "y", 1), ("b", "y", 11)]))
    assert found.repeat_rates[0] < found.repeat_rates[1]


def test_nothing_ever_repeated_still_gives_intervals():
    found = UsualIntervals.fit(purchases([("a", "x", 1), ("b", "x", 2)]))
    assert found.intervals.tolist() == [30.0]
    assert UsualIntervals.fit(purchases([])).intervals.tolist() == []


def test_shrunk_means():
    means, overall = shrunk(np.array([100.0, 0.0]), np.array([10, 0]), np.array([0, 1]), 5.0)
    assert overall == 10
    assert means.tolist() == [10, 10]


def test_credibility_is_variance_within_over_variance_between():
    rng = np.random.default_rng(1)
    rhythm = rng.normal(5, 1, 4000)
    pair = np.repeat(np.arange(4000), 6)
    gaps = rhythm[pair] + rng.normal(0, 2, len(pair))
    assert credibility(gaps, pair) == pytest.approx(4, rel=0.15)
    assert credibility(rng.normal(5, 1, len(pair)), pair) > 20
    assert credibility(np.array([1.0]), np.array([0])) == 4


def test_the_expected_interval_leans_on_the_own_one_as_it_is_seen_more():
    found = USUAL.expected(
        np.array([21.0, 21.0, 21.0]), np.array([1.0, 5.0, 401.0]), np.array([np.nan, 11, 11])
    )
    assert found.tolist() == pytest.approx([21, (4 * 11 + 4 * 21) / 8, (400 * 11 + 4 * 21) / 404])


# The hazard


def test_chances_multiply_over_periods():
    hazard = Hazard.fit(("x",), (7, 14), np.zeros((0, 1)), np.zeros(0), 1.0)
    chance = hazard.within(np.zeros((1, 1)))[0]
    assert 0 < chance[0] < chance[1]
    assert 1 - chance[1] == pytest.approx((1 - chance[0]) ** 2)


def test_a_period_in_which_nothing_happens_is_rare_not_impossible():
    x = np.linspace(-1, 1, 200)[:, None]
    waits = np.where(x[:, 0] > 0, 3.0, np.inf)
    hazard = Hazard.fit(("x",), (7, 14), x, waits, 1.0).calibrated([(x, waits)] * 2)
    chance = hazard.within(x)
    assert chance[-1, 0] > 0.9 > 0.1 > chance[0, 0]
    assert 0 < chance[0, 1] - chance[0, 0] < 0.05


def test_calibration_moves_the_level_and_keeps_the_order():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 1))
    waits = rng.exponential(30 * np.exp(-x[:, 0]))
    hazard = Hazard.fit(("x",), (7, 14), x, waits, 1.0)
    busier = hazard.calibrated([(x, waits / 2)] * 2)
    for place, days in enumerate((7, 14)):
        assert busier.within(x)[:, place].mean() == pytest.approx((waits / 2 < days).mean(), abs=0.02)
        assert (np.argsort(busier.within(x)[:, 0]) == np.argsort(hazard.within(x)[:, 0])).all()
    assert hazard.calibrated([(x[:0], waits[:0])] * 2).within(x).tolist() == hazard.within(x).tolist()

"""Which products are bought again: what is learned, how it is judged, and that nothing later is seen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from features import customer_activity, customer_product_affinity
from features.build import build
from patron.models.bought_pairs import pairs
from patron.settings import Settings
from tests.patron.models.test_replenishment import rows
from tests.shops import line, write_lake
from tests.training.shop import START, settings_of, small_configs, tables
from training import metrics
from training.pair_metrics import PairOutcomes
from training.replenishment import ReplenishmentJob, waits

CUTOFFS = [START + timedelta(days=each) for each in (232, 260, 288, 316)]


def opened(home: Any, shop: dict[str, Any]) -> Settings:
    write_lake(home, **shop)
    small_configs(home)
    settings = settings_of(home)
    build(settings, CUTOFFS, [customer_activity.VIEW, customer_product_affinity.VIEW])
    return settings


@pytest.fixture(scope="module")
def job(shop: Settings) -> ReplenishmentJob:
    return ReplenishmentJob(shop)


def test_the_windows_follow_each_other(job):
    assert job.horizon_days == 28
    assert [*job.judged.fit, job.judged.calibrate, job.test] == sorted(
        {*job.judged.fit, job.judged.calibrate, job.test}
    )
    assert job.judged.calibrate + timedelta(days=28) <= job.test
    assert job.test + timedelta(days=28) <= job.cutoff
    assert all(job.freshest(days, job.test) + timedelta(days=days) <= job.test for days in job.days)


def test_days_until_a_product_was_bought_again(tmp_path):
    cutoff = CUTOFFS[-1]
    day = timedelta(days=1)
    again = [
        line("ann", "tea", cutoff - 9 * day),
        line("ann", "tea", cutoff + 3 * day),
        line("ann", "tea", cutoff + 2 * day),
        line("ann", "cup", cutoff + 28 * day),
        line("bob", "tea", cutoff, 1),
        line("bob", "cup", cutoff + day, -1),
        line(None, "cup", cutoff + day),
    ]
    settings = opened(tmp_path, {"order_lines": [*tables(customers=20)["order_lines"], *again]})
    found = pairs(rows([[("cup", 2, 9, 5, 1, 1), ("tea", 2, 9, 5, 1, 1)]] * 3))
    purchases = ReplenishmentJob(settings).purchases
    told = waits(purchases, ["ann", "bob", "nobody"], found, cutoff, 28)
    assert told.tolist() == [np.inf, 2, np.inf, 0, np.inf, np.inf]


def test_the_hazard_is_judged_beside_plain_intervals(job):
    found = {kind: job.judge(job.fit(kind, shipped=False)).metrics for kind in job.kinds}
    assert set(found["hazard"]) == set(found["usual_interval"])
    assert 0.5 < found["hazard"]["roc_auc"] < 1
    assert found["hazard"]["log_loss"] < found["usual_interval"]["log_loss"] + 0.01
    assert found["hazard"]["expected_calibration_error"] < 2 * found["hazard"]["calibration_band_shared"]


def test_shuffled_outcomes_score_as_chance(job):
    """A fit on noise leans one way or the other; over ten of them no way."""
    other, found = ReplenishmentJob(job.settings), []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for cutoff in (*job.judged.fit, job.judged.calibrate):
            pairs_of, after = job.followed(cutoff)
            other.found[cutoff] = pairs_of, rng.permutation(after)
        found.append(other.judge(other.fit("hazard", shipped=False)).metrics["roc_auc"])
    assert abs(np.mean(found) - 0.5) < 4 * np.std(found) / np.sqrt(len(found))
    assert np.mean(found) < job.judge(job.fit("hazard", shipped=False)).metrics["roc_auc"] - 0.05


def test_what_follows_the_test_cutoff_changes_nothing_that_is_fitted(tmp_path):
    whole = tables(customers=60)
    test = CUTOFFS[-2]
    known = {**whole, "order_lines": [each for each in whole["order_lines"] if each["ordered_at"] < test]}
    later = [line("c001", f"p{each:02d}", test + timedelta(days=1)) for each in range(40)]
    ended = [line("c002", "p00", CUTOFFS[-1] + timedelta(days=1))]  # so that both have all the cutoffs
    fitted = []
    for name, lines in (("then", [*known["order_lines"], *ended]), ("now", [*whole["order_lines"], *later])):
        job = ReplenishmentJob(opened(tmp_path / name, {**whole, "order_lines": lines}))
        assert job.test == test
        fitted.append(job.fit("hazard", shipped=False))
    one, other = (each.fitted().document() for each in fitted)
    assert one == other
    assert fitted[0].usual.intervals.tolist() == fitted[1].usual.intervals.tolist()


# Metrics over pairs


@pytest.fixture(scope="module")
def outcomes() -> PairOutcomes:
    rng = np.random.default_rng(1)
    customer = np.sort(rng.integers(0, 200, 3000))
    chance = rng.beta(2, 6, size=(3000, 1)) * np.array([0.4, 1.0])
    chance = chance.round(2)  # ties
    waits = np.where(rng.random(3000) < chance[:, 1], rng.uniform(0, 28, 3000), np.inf)
    return PairOutcomes(customer, waits, chance, (7, 28))


def test_metrics_are_those_of_the_pairs_of_the_customers_drawn(outcomes):
    measure = outcomes.judgement("roc_auc").measure
    drawn = np.random.default_rng(2).integers(0, outcomes.customers, outcomes.customers)
    at = np.concatenate([np.flatnonzero(outcomes.customer == each) for each in drawn])
    found = measure(drawn)
    for place, suffix in ((0, "_7"), (1, "")):
        y, p = outcomes.outcome[at, place], outcomes.probability[at, place]
        assert found[f"roc_auc{suffix}"] == pytest.approx(metrics.roc_auc(y, p))
        assert found[f"brier{suffix}"] == pytest.approx(metrics.brier(y, p))
        assert found[f"log_loss{suffix}"] == pytest.approx(metrics.log_loss(y, p))


def test_precision_is_of_each_customers_likeliest():
    chance = np.array([[0.9], [0.8], [0.7], [0.6], [0.5], [0.4], [0.3]])
    waits = np.array([1, np.inf, 2, np.inf, np.inf, 3, 4.0])
    found = PairOutcomes(np.array([1, 1, 1, 1, 1, 1, 7]), waits, chance, (28,)).judgement("roc_auc").metrics
    assert found["precision_at_5"] == pytest.approx(3 / 6)


def test_the_band_is_wider_where_a_customers_products_go_together(outcomes):
    apart = outcomes.calibration(seed=1)
    assert apart["calibration_band_shared"] == pytest.approx(apart["calibration_band"], rel=0.25)
    rng = np.random.default_rng(3)
    comes = rng.random(200) < 0.25
    waits = np.where(comes[outcomes.customer], 1.0, np.inf)
    together = PairOutcomes(outcomes.customer, waits, np.full((3000, 1), 0.25), (28,)).calibration(seed=1)
    assert together["calibration_band_shared"] > 2 * together["calibration_band"]


def test_nobody_to_judge():
    nothing = PairOutcomes(np.zeros(0, dtype=int), np.zeros(0), np.zeros((0, 2)), (7, 28))
    assert nothing.calibration(seed=1) == {}
    judged = nothing.judgement("roc_auc")
    assert judged.customers == 0 and np.isnan(judged.metrics["roc_auc"])


def test_a_shop_where_nothing_is_bought_again_is_judged_and_said(tmp_path):
    lines = [line(f"c{each}", f"p{each}", START + timedelta(days=each % 330)) for each in range(660)]
    job = ReplenishmentJob(opened(tmp_path, {"order_lines": lines}))
    kind, _ = job.choose()
    model = job.fit(kind, shipped=True)
    assert job.judge(model).customers == 0
    assert job.warnings() and job.figures(model) == {}
    assert job.facts()["test_pairs"] == 0

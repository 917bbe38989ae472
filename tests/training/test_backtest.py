"""Several test cutoffs: each as it would have been at the time."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import numpy as np
import pytest

from patron.errors import DataError, UsageError
from tests.training.shop import DAYS, START
from training.backtest import backtest, months, rolled
from training.bootstrap import difference, intervals
from training.churn import ChurnJob, churned
from training.evaluate import evaluate, over_horizon
from training.jobs import open_job
from training.lifetime_value import LifetimeValueJob


@pytest.fixture(scope="module")
def job(shop) -> ChurnJob:
    return ChurnJob(shop)


@pytest.fixture(scope="module")
def found(job):
    return rolled(job, tests=3, rounds=60)


def test_every_test_sees_nothing_of_its_future(job, found):
    """Labels of all that was learned from end by the test cutoff, those of the test a horizon later."""
    horizon = timedelta(days=job.horizon_days)
    assert len(found) == 3
    assert found[-1].windows.test == job.test
    for each in found:
        test = each.windows.test
        assert all(cutoff + horizon <= test for cutoff in (*each.learned, *each.windows.fit))
        assert each.windows.calibrate + horizon <= test
        assert each.ends == test + horizon <= START + timedelta(days=DAYS + 1)


def test_the_rows_of_a_test_are_those_of_its_windows_only(job, found):
    for each in found:
        at = job.at(each.windows.test)
        assert set(at.data) == {*each.windows.fit, *each.learned, each.windows.test}


def test_a_later_day_changes_no_earlier_test(job, found):
    """Without an order after the first test's window, that test says the same."""
    first = found[0]
    other = ChurnJob(job.settings)
    other.orders.is_order = other.orders.is_order & (other.orders.at < first.ends.timestamp())
    again = rolled(other, cutoffs=[first.windows.test], rounds=60)[0]
    assert repr(again.metrics) == repr(first.metrics)  # NaN equals itself there


def test_the_last_test_is_what_training_judges(job, found):
    judged = job.judge(job.fit("logistic", shipped=False))
    values = {name: each.value for name, each in found[-1].metrics["logistic"].items()}
    assert values == pytest.approx(judged.metrics)


def test_intervals_and_paired_differences_are_those_of_the_bootstrap(job, found):
    last = found[-1]
    one, other = (job.judge(job.fit(kind, shipped=False)) for kind in ("mixed", "recency"))
    expected = intervals(one, job.settings.seed, rounds=60)["roc_auc"]
    assert last.metrics["mixed"]["roc_auc"] == expected
    gap = difference(one, other, job.settings.seed, rounds=60)
    assert last.differences["mixed"]["recency"]["roc_auc"] == gap
    assert set(last.differences) == {"mixed", "lightgbm"}


def test_who_is_not_scored_stands_in_no_metric(job, found):
    for each in found:
        at = job.at(each.windows.test)
        references = tuple(at.inputs())
        statuses = at.model("recency").statuses(job.pool[each.windows.test, references].columns)
        assert each.customers == (statuses == "scored").sum() == len(churned(at.data[at.test]))
        assert sum(each.left_out.values()) == (statuses != "scored").sum()
        assert set(each.left_out) <= {"insufficient_history", "already_churned"}


def test_the_kind_is_chosen_before_the_test(job):
    """Noise in the place of the test's outcomes changes nothing of the choice."""
    from dataclasses import replace

    at = job.at(job.test)
    chosen = at.choose()
    rng = np.random.default_rng(1)
    other = job.at(job.test)
    last = other.data[other.test]
    other.data = {**other.data, other.test: replace(last, orders=rng.permutation(last.orders))}
    assert other.choose() == chosen


def test_another_kind_is_chosen_only_where_it_is_shown_better(job, monkeypatch):
    from training.bootstrap import Interval

    at = job.at(job.test)
    monkeypatch.setattr(at, "validated", lambda kind: {"mixed": 0.7, "lightgbm": 0.71}.get(kind, 0.6))
    monkeypatch.setattr(at, "validation_gap", lambda one, other: Interval(0.01, -0.001, 0.02))
    assert at.choose()[0] == "mixed"
    monkeypatch.setattr(at, "validation_gap", lambda one, other: Interval(0.01, 0.001, 0.02))
    assert at.choose()[0] == "lightgbm"


def test_lifetime_value_is_tested_alike(shop):
    found = backtest(LifetimeValueJob, shop, tests=2, rounds=20)
    assert len(found) == 2
    for each in found:
        assert all(cutoff + timedelta(days=56) <= each.windows.test for cutoff in each.learned)
        assert {"btyd", "history"} <= set(next(iter(each.differences.values())))


def test_a_cutoff_that_cannot_be_judged_is_named(job):
    with pytest.raises(DataError, match=r"Nothing can be judged from 2030-01-01 on\. There are: 2024-"):
        rolled(job, cutoffs=[datetime(2030, 1, 1, tzinfo=START.tzinfo)])


def test_months():
    assert months(datetime(2011, 10, 1), datetime(2011, 12, 10)) == ["October", "November", "December"]
    assert months(datetime(2011, 10, 1), datetime(2011, 11, 1)) == ["October"]


def test_evaluating_holds_the_backtest(trained):
    job = open_job(trained.settings, "churn")
    outcome = evaluate(job, tests=1)
    (only,) = json.loads(json.dumps(outcome["backtest"]))
    assert only["test_cutoff"] == outcome["data"]["test_cutoff"]
    assert only["metrics"]["mixed"]["calibration_band"]["value"] > 0
    assert only["months"]
    assert "backtest" not in evaluate(job)
    assert "backtest" not in evaluate(open_job(trained.settings, "offers"), tests=1)


def test_another_horizon_is_tested_without_a_registered_version(trained):
    outcome = over_horizon(trained.settings, "churn", 14, tests=1, say=lambda what: None)
    assert "metrics" not in outcome
    (only,) = outcome["backtest"]
    assert only["ends"] == f"{datetime.fromisoformat(only['test_cutoff']) + timedelta(days=14):%Y-%m-%d}"
    with pytest.raises(UsageError, match="has no horizon"):
        over_horizon(trained.settings, "offers", 14, tests=1, say=lambda what: None)

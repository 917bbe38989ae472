"""Nothing of the future reaches a fit: and the tests that say so can see a leak when there is one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.build import build, built_cutoffs
from features.store import apply
from tests.shops import line, write_lake
from tests.training.shop import START, settings_of, small_configs, tables
from training.churn import ChurnJob, churned
from training.recommender import RecommenderJob


def auc_of(job: ChurnJob, kind: str) -> float:
    return job.judge(job.fit(kind, shipped=False)).metrics["roc_auc"]


@pytest.mark.parametrize("kind", ["lightgbm", "logistic"])
def test_shuffled_labels_score_as_chance(shop, kind):
    """Fitted on noise, the AUC on the true outcomes of the test window lies around one half."""
    found = []
    for seed in range(5):
        job = ChurnJob(shop)
        rng = np.random.default_rng(seed)
        job.data = {
            cutoff: each if cutoff == job.test else replace(each, orders=rng.permutation(each.orders))
            for cutoff, each in job.data.items()
        }
        found.append(auc_of(job, kind))
    left = churned(job.data[job.test])
    n, m = left.sum(), (1 - left).sum()
    error = np.sqrt((n + m + 1) / (12 * n * m))
    assert abs(np.mean(found) - 0.5) < 4 * error


def test_a_shuffled_test_window_scores_as_chance(shop):
    """The model is the true one; a window whose outcomes are noise must not be predictable."""
    job = ChurnJob(shop)
    last = job.data[job.test]
    order = np.random.default_rng(1).permutation(len(last.orders))
    model = job.fit("lightgbm", shipped=False)
    honest = job.judge(model).metrics["roc_auc"]
    job.data[job.test] = replace(last, orders=last.orders[order])
    left = churned(last)
    error = np.sqrt((len(left) + 1) / (12 * left.sum() * (1 - left).sum()))
    assert abs(job.judge(model).metrics["roc_auc"] - 0.5) < 4 * error
    assert honest > 0.5 + 3 * error


@pytest.mark.parametrize("kind", ["lightgbm", "logistic"])
def test_a_feature_that_knows_the_future_is_seen(shop, kind):
    job = ChurnJob(shop)
    job.data = {cutoff: planted(each) for cutoff, each in job.data.items()}
    assert auc_of(job, kind) > 0.95


def planted(customers: Any) -> Any:
    columns = {**customers.rows.columns, "units_90d": churned(customers) * 50}
    return replace(customers, rows=replace(customers.rows, columns=columns))


@pytest.fixture(scope="module")
def before_and_after(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The same cutoffs on a lake that ends at the newest of them, and on one that goes on for two months."""
    whole = tables(customers=60, days=300)
    cutoffs = [START + timedelta(days=each) for each in range(100, 241, 28)]
    known = [each for each in whole["order_lines"] if each["ordered_at"] < cutoffs[-1]]
    later = [each for each in whole["order_lines"] if each["ordered_at"] >= cutoffs[-1]]
    strange = [
        line(f"c{each:03d}", "p00", datetime(2024, 12, 24, tzinfo=UTC), 99, 1000) for each in range(0, 60, 2)
    ]
    opened = []
    for lines in (known, known + later + strange):
        home = tmp_path_factory.mktemp("lake")
        write_lake(home, **{**whole, "order_lines": lines})
        small_configs(home)
        settings = settings_of(home)
        build(settings, cutoffs)
        apply(settings)
        assert built_cutoffs(settings) == cutoffs
        opened.append(settings)
    return opened


def test_the_future_changes_nothing_that_was_learned_from(before_and_after):
    then, now = (ChurnJob(settings) for settings in before_and_after)
    assert (then.judged, then.shipped) == (now.judged, now.shipped)
    assert then.data.keys() == now.data.keys()
    for cutoff, each in then.data.items():
        other = now.data[cutoff]
        assert each.rows.ids == other.rows.ids
        for name, values in each.rows.columns.items():
            assert values.tobytes() == other.rows.columns[name].tobytes(), name
        assert each.orders.tobytes() == other.orders.tobytes()
        assert each.revenue.tobytes() == other.revenue.tobytes()
    assert auc_of(then, "lightgbm") == auc_of(now, "lightgbm")


def test_the_future_changes_nothing_that_is_recommended(before_and_after):
    then, now = (RecommenderJob(settings) for settings in before_and_after)
    one, other = (job.fitted_at(job.test) for job in (then, now))
    assert one.product_ids.tolist() == other.product_ids.tolist()
    assert one.sources["als"].item_factors.tobytes() == other.sources["als"].item_factors.tobytes()
    assert then.settled() == now.settled()
    judged = [job.judge(job.fit("blend", shipped=False)).metrics for job in (then, now)]
    assert judged[0] == pytest.approx(judged[1], nan_ok=True)

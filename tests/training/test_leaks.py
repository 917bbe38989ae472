"""Nothing of the future reaches a fit: and the tests that say so can see a leak when there is one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.build import build, built_cutoffs
from features.offline import snapshot
from features.store import apply
from patron.models.base import HISTORY, history
from patron.models.ranker import Ranker
from tests.shops import line, write_lake
from tests.training.shop import START, settings_of, small_configs, tables
from training import metrics
from training.churn import ChurnJob, churned
from training.parts import Lesson, lessons
from training.ranking import Window, examples
from training.recommender import RecommenderJob


def auc_of(job: ChurnJob, kind: str) -> float:
    return job.judge(job.fit(kind, shipped=False)).metrics["roc_auc"]


@pytest.mark.parametrize("kind", ["lightgbm", "logistic"])
def test_shuffled_labels_score_as_chance(shop, kind):
    """Fitted on noise, the AUC on the true outcomes of the test window lies around one half."""
    found, true = [], ChurnJob(shop)
    for seed in range(3):
        job = true.with_overrides({})
        rng = np.random.default_rng(seed)
        job.data = {
            cutoff: each if cutoff == job.test else replace(each, orders=rng.permutation(each.orders))
            for cutoff, each in true.data.items()
        }
        found.append(auc_of(job, kind))
    left = churned(true.data[true.test])
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


@pytest.mark.parametrize("kind", ["mixed", "lightgbm", "logistic"])
def test_a_feature_that_knows_the_future_is_seen(shop, kind):
    job = ChurnJob(shop)
    job.data = {cutoff: planted(each) for cutoff, each in job.data.items()}
    assert auc_of(job, kind) > 0.95


def planted(customers: Any) -> Any:
    columns = {**customers.rows.columns, "units_90d": churned(customers) * 50}
    return replace(customers, rows=replace(customers.rows, columns=columns))


# Recommendations


@pytest.fixture(scope="module")
def job(shop):
    return RecommenderJob(shop)


@pytest.fixture(scope="module")
def lesson(job) -> Lesson:
    """Candidates of the test window beside those that its ranker learns from."""
    windows = [job.window(each) for each in (*job.earlier, job.validation, job.test)]
    (found,) = lessons(windows, job.settled().weights, seed=1)
    return found


def learned(job, columns, hits, seed=1) -> Ranker:
    return Ranker.fit(job.model_config().ranker, columns, hits, seed=seed, threads=1)


def reached(lesson, ranker):
    """ndcg@10 of each customer of the test window."""
    return lesson.ndcg(ranker, np.arange(len(lesson.rows)))


def auc_within(lesson, ranker) -> float:
    """Chance that a bought candidate stands above another one of the same customer."""
    found = [
        metrics.roc_auc(hits.astype(float), ranker.scores(columns).astype(float))
        for columns, hits in zip(lesson.candidates, lesson.hits, strict=True)
        if 0 < hits.sum() < len(hits)
    ]
    return float(np.mean(found))


def test_a_ranker_of_shuffled_labels_scores_as_chance(job, lesson):
    """Of hits that fell on candidates at random it learns noise: one half, in the mean over many such fits.

    Its order is one function of the features for all customers, so their number bounds no error; that of the
    fits does. (ndcg rewards an order for being extreme, and has no such expectation.)
    """
    columns, hits = lesson.taught
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        found.append(
            auc_within(lesson, learned(job, columns, [rng.permutation(each) for each in hits], seed))
        )
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert error < 0.05
    assert abs(np.mean(found) - 0.5) < 4 * error
    assert auc_within(lesson, learned(job, columns, hits)) > 0.5 + 4 * np.std(found, ddof=1)


def test_shuffled_candidates_of_the_test_window_score_as_chance(job, lesson):
    """H hits fallen at random on C candidates: every rank holds one with chance H / C, whatever the order.

    Variance of the sum of discounts d of H places drawn of C: H (1 - H/C) / (C - 1) * C * var(d).
    """
    ranker = learned(job, *lesson.taught)
    honest = reached(lesson, ranker).mean()
    rng = np.random.default_rng(1)
    shuffled = replace(lesson, hits=[rng.permutation(each) for each in lesson.hits])
    expected, variance = [], []
    for hits, bought in zip(lesson.hits, lesson.bought, strict=True):
        size, found = len(hits), int(hits.sum())
        discounts = np.where(np.arange(size) < 10, 1 / np.log2(np.arange(size) + 2), 0)
        ideal = (1 / np.log2(np.arange(min(len(bought), 10)) + 2)).sum()
        expected.append(found * discounts.mean() / ideal)
        variance.append(found * (size - found) / max(size - 1, 1) * discounts.var() / ideal**2)
    chance, error = np.mean(expected), np.sqrt(np.sum(variance)) / len(expected)
    assert abs(reached(shuffled, ranker).mean() - chance) < 4 * error
    assert honest > chance + 4 * error


@pytest.mark.parametrize("kind", ["ranker", "buy_again"])
def test_baskets_shuffled_between_customers_score_as_those_of_anybody(job, kind):
    """Judged on the basket of a customer drawn at random, a list is worth its mean over all baskets.

    Source of the variance of a mean over random pairings: Hoeffding 1951.
    """
    blend, seen = job.fit(kind, shipped=False), job.window(job.test)
    size = len(seen.histories)
    order = np.random.default_rng(2).permutation(size)
    other = Window(blend, seen.histories, [seen.bought[each] for each in order], seen.before)
    ranked = other.ranked(blend)
    np.testing.assert_array_equal(ranked.shown, seen.ranked(blend).shown)

    worth = np.empty((size, size))
    for turn in range(size):
        turned = [seen.bought[(row + turn) % size] for row in range(size)]
        values = replace(seen, bought=turned)
        values = values.ndcg(values.shown([each[each >= 0] for each in ranked.shown], 0))
        worth[np.arange(size), (np.arange(size) + turn) % size] = values
    centred = worth - worth.mean(axis=0) - worth.mean(axis=1, keepdims=True) + worth.mean()
    error = np.sqrt((centred**2).sum() / (size - 1)) / size
    assert abs(other.ndcg(ranked).mean() - worth.mean()) < 4 * error
    assert seen.ndcg(seen.ranked(blend)).mean() > worth.mean() + 4 * error


def test_a_ranking_feature_that_knows_the_future_is_seen(job, lesson):
    """`own_due` says what is bought: all that is among the candidates comes first."""

    def told(candidates, hits):
        return [
            {**columns, "own_due": bought.astype(float)}
            for columns, bought in zip(candidates, hits, strict=True)
        ]

    planted = replace(lesson, candidates=told(lesson.candidates, lesson.hits))
    ranker = learned(job, told(*lesson.taught), lesson.taught[1])
    honest = reached(lesson, learned(job, *lesson.taught)).mean()
    ideal = np.mean(
        [
            metrics.ndcg_at(np.sort(hits)[None, ::-1], np.array([len(bought)]), 10)
            for hits, bought in zip(lesson.hits, lesson.bought, strict=True)
        ]
    )
    assert reached(planted, ranker).mean() > 0.95 * ideal
    assert reached(planted, ranker).mean() > honest + 0.1


def gap(after, before):
    """Mean paired difference, in standard errors."""
    gaps = after - before
    return gaps.mean() / (gaps.std(ddof=1) / np.sqrt(len(gaps)))


@pytest.mark.parametrize("source", ["ease", "item_item"])
def test_a_source_that_saw_the_window_is_seen(job, source):
    """Fitted with the test window, it knows what is bought with what there."""
    honest = job.window(job.test)
    late = job.fitted_at(job.cutoff)
    basket = job.basket(job.test, late.catalogue.product_ids)
    seen = Window(late, honest.histories, basket.bought, basket.before)
    one, other = (each.ndcg(each.ranked(each.blend.variant(home={source: 1.0}))) for each in (seen, honest))
    assert gap(one, other) > 4


def test_a_history_that_reaches_into_the_window_is_seen(job):
    honest = job.window(job.test)
    rows = snapshot(job.settings, list(HISTORY), job.cutoff)
    place = {name: position for position, name in enumerate(rows.ids)}
    late = [history(rows.columns, place[name]) for name in job.panel(job.test)[0].customers]
    seen = replace(honest, histories=late)
    one, other = (
        each.ndcg(each.ranked(each.blend.variant(home={"buy_again": 1.0}))) for each in (seen, honest)
    )
    assert gap(one, other) > 4


# The same cutoffs with and without a future


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


def test_the_future_changes_nothing_that_the_ranker_reads_or_learns(before_and_after):
    then, now = (RecommenderJob(settings) for settings in before_and_after)
    weights = {"buy_again": 0.5, "als": 0.3, "popularity": 0.2}
    for cutoff in (*then.earlier, then.validation):
        one, other = (job.fitted_at(cutoff).numbers for job in (then, now))
        assert one.columns.keys() == other.columns.keys()
        for name, values in one.columns.items():
            assert values.tobytes() == other.columns[name].tobytes(), name
        described = [examples([job.window(cutoff)], weights, seed=1) for job in (then, now)]
        assert len(described[0][0]) == len(described[1][0]) > 0
        for mine, theirs in zip(described[0][0], described[1][0], strict=True):
            assert mine.keys() == theirs.keys()
            assert all(mine[name].tobytes() == theirs[name].tobytes() for name in mine)
        for mine, theirs in zip(described[0][1], described[1][1], strict=True):
            assert mine.tobytes() == theirs.tobytes()
    one, other = (job.ranker(shipped=False).trees.booster.model_to_string() for job in (then, now))
    assert one == other

"""The last window again, and what may not be judged on it."""

from __future__ import annotations

import numpy as np
import pytest

from features.build import built_cutoffs
from patron.errors import ArtifactError, NoChampion
from training.evaluate import evaluate
from training.jobs import JOBS, open_job
from training.run import train


@pytest.mark.parametrize("short", JOBS)
def test_the_champion_does_as_its_run_said(trained, short):
    found = evaluate(open_job(trained.settings, short))
    first = trained.results[short]
    told = {name: each["value"] for name, each in first["metrics"].items()}
    mine = found["metrics"][f"version {first['version']}"]
    assert mine == pytest.approx(told, nan_ok=True)
    assert found["intervals"][first["primary"]] == pytest.approx(first["metrics"][first["primary"]])
    assert first["baseline"] in found["differences"]


def test_a_version_against_another(own):
    job = open_job(own, "churn")
    found = evaluate(job, against="2")
    assert list(found["metrics"]) == ["version 1", "version 2", "recency"]
    gap = found["metrics"]["version 1"]["roc_auc"] - found["metrics"]["version 2"]["roc_auc"]
    assert found["differences"]["version 2"]["value"] == pytest.approx(gap)
    turned = evaluate(job, "2", against="1")
    assert turned["differences"]["version 1"]["value"] == pytest.approx(-gap)


def test_who_saw_the_window_is_refused(own):
    """Features are built again without the newest months: the twin was fitted on what would judge it."""
    older = without_the_newest(own, 3)
    with pytest.raises(ArtifactError, match="has seen the window from"):
        evaluate(open_job(older, "churn"))
    told: list[str] = []
    train(open_job(older, "churn"), told.append)
    assert any("it is not compared" in each for each in told)


def without_the_newest(settings, count):
    """The same home with only its older snapshots."""
    import json

    from features.build import index, index_path

    kept = {f"{each:%Y-%m-%d}" for each in built_cutoffs(settings)[:-count]}
    found = index(settings)
    found["views"] = {
        view: {day: entry for day, entry in entries.items() if day in kept}
        for view, entries in found["views"].items()
    }
    index_path(settings).write_text(json.dumps(found))
    return settings


def test_without_a_champion(fresh):
    with pytest.raises(NoChampion, match="Train one: patron train churn"):
        evaluate(open_job(fresh(), "churn"))


def test_a_version_that_is_not_there(trained):
    with pytest.raises(ArtifactError, match="Version 99 of patron-churn cannot be read"):
        evaluate(open_job(trained.settings, "churn"), "99")


def test_an_older_recommender_is_judged_in_its_own_catalogue(shop):
    """A blend of an earlier cutoff knows other products in other places; its hits are still its own."""
    from training import metrics
    from training.ranking import counts
    from training.recommender import RecommenderJob

    job = RecommenderJob(shop)
    older = job.fitted_at(job.validation)
    dropped = older.catalogue.product_ids[3:]
    assert not np.array_equal(dropped, job.fitted_at(job.test).catalogue.product_ids)
    smaller = without_first(job.purchases.until(job.validation), older.config, 3)
    judged = job.judge(smaller).metrics["recall_at_10"]

    basket, histories = job.panel(job.test)
    names = job.fitted_at(job.test).catalogue.product_ids
    hits = np.zeros((len(histories), 10), dtype=bool)
    for row, one in enumerate(histories):
        bought = set(names[basket.bought[row][basket.bought[row] >= 0]])
        scores = smaller.scores(one)
        best = [place for place in np.argsort(-scores, kind="stable")[:10] if scores[place] > 0]
        hits[row, : len(best)] = [smaller.product_ids[place] in bought for place in best]
    assert judged == pytest.approx(metrics.recall_at(hits, counts(basket.bought), 10).mean())
    assert judged > 0.1


def without_first(interactions, config, count):
    """A popularity blend that was fitted on all but the first products."""
    from dataclasses import replace

    from patron.models.blend import Blend

    kept = interactions.product >= count
    lines = {
        name: getattr(interactions, name)[kept] for name in ("customer", "order", "product", "at", "price")
    }
    lines["product"] = lines["product"] - count
    blend = Blend(config)
    blend.fit(replace(interactions, product_ids=interactions.product_ids[count:], **lines), seed=1)
    return blend.variant(home={"popularity": 1.0})

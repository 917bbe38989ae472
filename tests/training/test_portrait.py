"""The portrait is judged honestly, by the rules of the shop, and offers use the same ones."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from features.offline import latest
from patron.errors import ConfigurationError, UsageError
from training.offers import OffersJob
from training.portrait import PortraitJob, counted
from training.run import recipe
from training.tune import chosen


@pytest.fixture(scope="module")
def job(shop):
    return PortraitJob(shop)


def test_what_a_segment_is_worth_was_learned_before_the_test(job):
    """Whatever is spent after the test's cutoff changes neither names nor worth of the judged twin."""
    other = PortraitJob(job.settings)
    other.data = {
        cutoff: replace(each, revenue=each.revenue * (1000 if cutoff >= job.test else 1))
        for cutoff, each in job.data.items()
    }
    one, changed = (each.fit("rfm", shipped=False) for each in (job, other))
    assert one.means == changed.means
    assert one.segments.edges == changed.segments.edges
    assert job.fit("rfm", shipped=True).means != other.fit("rfm", shipped=True).means


def test_validation_sees_nothing_of_the_test(job):
    other = PortraitJob(job.settings)
    other.data = {
        cutoff: replace(each, revenue=each.revenue * (0 if cutoff >= job.test else 1))
        for cutoff, each in job.data.items()
    }
    assert other.choose() == job.choose()


def test_better_segments_spend_more_and_the_metrics_say_what_is_measured(job):
    judged = job.judge(job.fit("rfm", shipped=False))
    found = judged.metrics
    assert found["gini"] > 0.3
    assert found["gini"] > job.judge(job.fit("recency", shipped=False)).metrics["gini"]
    assert 0 < found["segment_stability"] <= 1 and -1 <= found["cluster_silhouette"] <= 1
    facts = job.facts()
    assert sum(facts["segments"].values()) == sum(facts["clusters"].values()) == facts["test_customers"]
    assert json.loads(json.dumps(facts, default=str))


def test_stability_is_the_share_who_stayed(job):
    portrait = job.fit("rfm", shipped=False)
    assert job.stability(portrait) < 1
    other = PortraitJob(job.settings)
    other.data = {**job.data, other.earlier: job.data[job.test]}
    assert other.stability(portrait) == 1


def test_offers_have_the_portraits_segments(job):
    portrait = job.fit("rfm", shipped=True)
    offers = OffersJob(job.settings)
    edges = offers.segments(offers.cutoff)
    assert edges.edges == portrait.segments.edges
    assert edges.config == portrait.config.segments
    rows = latest(job.settings, list(portrait.references)).columns
    assert edges.segment(rows).tolist() == portrait.segment(rows).tolist()


def test_the_shops_own_rules_are_used_and_another_rule_is_another_recipe(fresh):
    settings = fresh()
    before = [recipe(each(settings)) for each in (PortraitJob, OffersJob)]
    path = settings.configs / "segments.toml"
    path.write_text('[[rules]]\nsegment = "champions"\nM = [4, 5]\n[[rules]]\nsegment = "lost"\n')
    (settings.configs / "tiers.toml").write_text('[[tiers]]\nname = "member"\n')
    own = PortraitJob(settings)
    portrait = own.fit("rfm", shipped=True)
    rows = latest(settings, list(portrait.references)).columns
    assert set(portrait.segment(rows)) == {"champions", "lost"}
    assert set(portrait.loyalty(rows).tier) == {"member"}
    assert all(
        one != other for one, other in zip(before, map(recipe, (own, OffersJob(settings))), strict=True)
    )
    path.write_text('[[rules]]\nsegment = "lost"\n[[rules]]\nsegment = "vip"\n')
    with pytest.raises(ConfigurationError, match="no segment 'vip'"):
        own.config()


def test_there_is_nothing_to_tune(job):
    with pytest.raises(UsageError, match=r"Edit configs/segments\.toml"):
        chosen(job, ())


def test_names_are_counted_the_most_first():
    assert list(counted(np.array(["b", "a", "c", "c"])).items()) == [("c", 2), ("a", 1), ("b", 1)]

"""Tuning: parameters put into a TOML file that stays readable, and studies, one a part, that go on."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import pytest

from patron.errors import DataError, UsageError
from training import parts, tune
from training.job import Job
from training.recommender import RecommenderJob
from training.tune import flattened, placed

TEXT = """\
# What this is.
class = "patron.models.blend:Blend"

# How many.
candidates = 200  # at most

# Vectors.
[als]  # matrix factorisation
# Their length.
factors = 64

[buy_again]
factors = 3
"""


def test_a_key_is_set_in_its_place_and_comments_stay():
    found = placed(TEXT, "candidates", "50")
    assert found == TEXT.replace("candidates = 200", "candidates = 50")


def test_a_dotted_key_is_set_in_its_own_section():
    found = placed(TEXT, "als.factors", "8")
    assert found == TEXT.replace("factors = 64", "factors = 8")
    assert placed(TEXT, "buy_again.factors", "8") == TEXT.replace("factors = 3", "factors = 8")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("new", {"new": 1.5}),
        ("als.alpha", {"als": {"factors": 64, "alpha": 1.5}}),
        ("buy_again.half_life_days", {"buy_again": {"factors": 3, "half_life_days": 1.5}}),
        ("weights.home.als", {"weights": {"home": {"als": 1.5}}}),
    ],
)
def test_a_new_key_goes_where_it_belongs(key, expected):
    text = placed(TEXT, key, "1.5")
    assert tomllib.loads(text) == {**tomllib.loads(TEXT), **expected}
    assert all(line in text.splitlines() for line in TEXT.splitlines() if line)
    assert placed(text, key, "1.5") == text


def test_a_key_that_begins_like_another_is_left_alone():
    text = "rate = 1\nrate_of_learning = 2\n"
    assert placed(text, "rate", "3") == "rate = 3\nrate_of_learning = 2\n"


def test_nested_parameters_get_dotted_names():
    assert flattened({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"a": 1, "b.c": 2, "b.d.e": 3}


def test_a_study_goes_on_where_it_stopped_and_writes_only_what_is_better(fresh):
    settings = fresh()
    path = settings.configs / "models" / "churn.toml"
    before = path.read_text()
    told: list[str] = []
    first = tune.tune(settings, "churn", 2, advance=lambda part, best: told.append(part))
    assert (first["trials"], first["new_trials"], first["written"]) == (2, 2, False)
    assert told == ["all", "all"] and path.read_text() == before

    second = tune.tune(settings, "churn", 1, write=True)
    one, other = (each["parts"]["all"] for each in (first, second))
    assert (other["study"], other["trials"], other["new_trials"]) == (one["study"], 3, 1)
    assert other["validation"] >= one["validation"]
    assert second["validation"] >= second["validation_default"] == first["validation_default"]
    assert second["written"] is (second["validation"] > second["validation_default"])
    after = tomllib.loads(path.read_text())
    expected = second["parameters"] if second["written"] else {}
    assert after == {**tomllib.loads(before), **expected}
    assert sorted(nested(settings, "churn", each["run_id"]) for each in (first, second)) == [
        ["all 0", "all 1"],
        ["all 2"],
    ]


def nested(settings, short, run_id):
    """Names of the runs within a run."""
    import mlflow

    from training import tracking

    tracker = tracking.client(settings)
    runs = tracker.search_runs([tracking.experiment(settings, f"patron-{short}")])
    assert mlflow.active_run() is None
    return sorted(run.info.run_name for run in runs if run.data.tags.get("mlflow.parentRunId") == run_id)


@pytest.mark.parametrize(("gain", "written"), [(0.1, True), (0.0, False)])
def test_the_file_changes_only_for_the_better(fresh, monkeypatch, gain, written):
    from training.churn import ChurnJob

    settings = fresh()
    path = settings.configs / "models" / "churn.toml"
    before = path.read_text()
    monkeypatch.setattr(ChurnJob, "validate", lambda self: 0.5 + gain * bool(self.overrides))
    outcome = tune.tune(settings, "churn", 1, write=True)
    assert outcome["written"] is written
    assert (path.read_text() != before) is written
    if written:
        assert tomllib.loads(path.read_text())["trees"] == outcome["parameters"]["trees"]


def test_what_cannot_be_scored_is_said(fresh, monkeypatch):
    from training.churn import ChurnJob

    monkeypatch.setattr(ChurnJob, "validate", lambda self: float("nan"))
    with pytest.raises(DataError, match="Too little happened"):
        tune.tune(fresh(), "churn", 1)


def test_an_unknown_model_or_part_leaves_nothing_behind(fresh):
    settings = fresh()
    with pytest.raises(UsageError, match="There are: recommender, churn"):
        tune.tune(settings, "chrun", 1)
    with pytest.raises(
        UsageError, match=r"No part 'alz' of patron-recommender. There are: buy_again, item_item"
    ):
        tune.tune(settings, "recommender", 1, parts=["als", "alz"])
    assert not (settings.home / "tuning.db").exists()


# Parts


class TwoParts(Job):
    """`good` is better the larger x is, `bad` never; together they are worth what `whole` says."""

    short = "churn"
    whole = 0.2
    fit = choose = judge = figures = references = facts = None  # type: ignore[assignment]

    def parts(self):
        return ("good", "bad", "mute")

    def space(self, trial, part):
        return {part: {"x": trial.suggest_float("x", 0.5, 1)}}

    def attempt(self, part, overrides):
        asked.append((part, overrides))
        value = overrides.get(part, {}).get("x", 0)
        if part == "mute":
            yield math.nan
        elif part == "good":
            yield from (value, value, value)
        else:
            yield from (-value, -value, -value)

    def validate(self):
        return self.whole if self.overrides else 0.1


asked: list[tuple[str, Any]] = []


@pytest.fixture
def two_parts(fresh, monkeypatch):
    asked.clear()
    TwoParts.__abstractmethods__ = frozenset()
    monkeypatch.setattr(tune, "open_job", lambda settings, short: TwoParts(settings))
    return fresh()


def test_trials_go_round_the_parts_and_only_better_parts_are_kept(two_parts):
    outcome = tune.tune(two_parts, "churn", 3)
    assert [part for part, overrides in asked if overrides] == ["good", "bad", "good"]
    assert outcome["parts"].keys() == {"good", "bad"}  # `mute` says nothing of the present configuration
    assert outcome["parameters"].keys() == {"good"}
    assert outcome["parameters"]["good"]["x"] == outcome["parts"]["good"]["validation"]
    assert (outcome["validation_default"], outcome["validation"]) == (0.1, 0.2)
    assert nested(two_parts, "churn", outcome["run_id"]) == ["bad 0", "good 0", "good 1"]

    again = tune.tune(two_parts, "churn", 1)
    assert again["parts"]["bad"]["new_trials"] == 1


def test_parts_that_are_better_alone_are_written_only_if_the_whole_is_better(two_parts, monkeypatch):
    path = two_parts.configs / "models" / "churn.toml"
    before = path.read_text()
    monkeypatch.setattr(TwoParts, "whole", 0.05)
    outcome = tune.tune(two_parts, "churn", 1, write=True)
    assert (outcome["validation"], outcome["written"], path.read_text()) == (0.05, False, before)
    monkeypatch.setattr(TwoParts, "whole", 0.3)
    outcome = tune.tune(two_parts, "churn", 1, write=True)
    assert outcome["written"]
    assert tomllib.loads(path.read_text())["good"] == outcome["parameters"]["good"]


def test_a_run_that_goes_on_does_not_draw_the_same_again(two_parts):
    for _ in range(2):
        tune.tune(two_parts, "churn", 1, parts=["good"])
    assert len({overrides["good"]["x"] for _, overrides in asked if overrides}) == 2


def test_one_part_alone(two_parts):
    outcome = tune.tune(two_parts, "churn", 2, parts=["bad"])
    assert {part for part, _ in asked} == {"bad"}
    assert (outcome["parameters"], outcome["validation"]) == ({}, outcome["validation_default"])


def test_a_trial_that_falls_behind_the_median_ends_early(two_parts, monkeypatch):
    values = iter([0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.95])
    began = []

    def attempt(self, part, overrides):
        if not overrides:
            yield 0.5
            return
        value = next(values)
        for step in range(3):
            began.append((value, step))
            yield value

    monkeypatch.setattr(TwoParts, "attempt", attempt)
    outcome = tune.tune(two_parts, "churn", 7, parts=["good"])
    assert (0.1, 0) in began and (0.1, 1) not in began
    assert (0.95, 2) in began
    assert (outcome["parts"]["good"]["pruned"], outcome["parts"]["good"]["validation"]) == (1, 0.95)


# Parts of the recommender


@pytest.fixture(scope="module")
def job(shop):
    return RecommenderJob(shop)


def test_a_source_alone_scores_as_it_does_within_the_whole(job):
    for part in set(job.parts()) - {"ranker"}:
        *_, found = job.attempt(part, {})
        assert found == pytest.approx(job.settled().validation[part], abs=1e-6), part


def test_a_ranker_scores_as_it_does_within_the_whole(job):
    from training.ranking import validated_rankers, variant

    settled, last = job.settled(), job.window(job.validation)
    windows = [job.window(each) for each in (*job.earlier, job.validation)]
    ((_, ranker),) = validated_rankers(windows, settled.weights, seed=job.settings.seed, threads=1)
    settled = placeless(settled)
    expected = last.ndcg(last.ranked(variant(last, "ranker", settled, ranker))).mean()
    *_, found = job.attempt("ranker", {})
    assert found == pytest.approx(expected, abs=1e-9)


def placeless(settled):
    """The same with no places for new products: a trial is of the order alone."""
    from dataclasses import replace

    return replace(settled, new_places={})


@pytest.mark.parametrize("part", parts.SPACES)
def test_every_suggestion_is_a_configuration(job, part):
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(3):
        overrides = job.space(study.ask(), part)
        config = job.config(**overrides)[1].model_dump()
        assert overrides.keys() == {part}
        assert overrides[part].items() <= config[part].items()


def test_a_trial_of_a_part_fits_no_other_and_none_of_the_windows_again(job, monkeypatch):
    from patron.models.blend import Blend

    job.settled()
    monkeypatch.setattr(Blend, "fit", pytest.fail)
    *_, worse = job.attempt("buy_again", {"buy_again": {"count_exponent": -3.0}})
    *_, plain = job.attempt("buy_again", {})
    assert worse < plain
    *_, small = job.attempt("ranker", {"ranker": {"trees": 1, "leaves": 2}})
    assert math.isfinite(small)


def test_a_ranker_with_too_little_to_learn_from_has_no_score(job, monkeypatch):
    settled = job.settled()
    monkeypatch.setattr(settled, "validation", {"popularity": 0.1})
    assert [math.isnan(each) for each in job.attempt("ranker", {})] == [True]


def test_samples_grow_to_everybody():
    import numpy as np

    found = parts.samples(50, seed=1)
    assert [len(each) for each in found] == [5, 10, 35]
    assert sorted(np.concatenate(found).tolist()) == list(range(50))
    assert [each.tolist() for each in parts.samples(1, seed=1)] == [[0]]
    values = [np.array([1.0, 0.0]), np.array([0.5, 0.5])]
    assert list(parts.means(values)) == [0.5, 0.5]


def test_the_recommender_is_tuned_by_part(fresh):
    settings = fresh()
    outcome = tune.tune(settings, "recommender", 2, parts=["buy_again", "ranker"])
    assert list(outcome["parts"]) == ["buy_again", "ranker"]
    assert [each["new_trials"] for each in outcome["parts"].values()] == [1, 1]
    assert nested(settings, "recommender", outcome["run_id"]) == ["buy_again 0", "ranker 0"]
    assert outcome["validation"] >= outcome["validation_default"] or not outcome["written"]

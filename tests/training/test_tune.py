"""Tuning: parameters put into a TOML file that stays readable, and a study that goes on."""

from __future__ import annotations

import tomllib

import pytest

from patron.errors import DataError, UsageError
from training import tune
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
    told: list[float] = []
    first = tune.tune(settings, "churn", 2, advance=told.append)
    assert (first["trials"], first["new_trials"], first["written"]) == (2, 2, False)
    assert len(told) == 2 and path.read_text() == before

    second = tune.tune(settings, "churn", 1, write=True)
    assert (second["study"], second["trials"], second["new_trials"]) == (first["study"], 3, 1)
    assert second["validation"] >= first["validation"]
    assert second["validation_default"] == first["validation_default"]
    assert second["written"] is (second["validation"] > second["validation_default"])
    after = tomllib.loads(path.read_text())
    expected = second["parameters"] if second["written"] else {}
    assert after == {**tomllib.loads(before), **expected}

    import mlflow

    from training import tracking

    tracker = tracking.client(settings)
    runs = tracker.search_runs([tracking.experiment(settings, "patron-churn")])
    parents = [run.data.tags.get("mlflow.parentRunId") for run in runs]
    assert sorted(parents.count(each["run_id"]) for each in (first, second)) == [1, 2]
    assert mlflow.active_run() is None


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


def test_an_unknown_model_leaves_nothing_behind(fresh):
    settings = fresh()
    with pytest.raises(UsageError, match="There are: recommender, churn"):
        tune.tune(settings, "chrun", 1)
    assert not (settings.home / "tuning.db").exists()

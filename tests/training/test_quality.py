"""What a training leaves about quality: a reference in the artifact, the report and the drift in the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from features.offline import latest, newest_cutoff
from patron.artifacts import champion, seal, verified
from patron.errors import ArtifactError
from patron.models.base import open_model
from patron.models.drift import FILE, Reference, drift_of
from patron.quality.status import keep_drift
from patron.status import status
from training import tracking
from training.jobs import JOBS, open_job
from training.quality import SCORES, follow, look, said


def folder_of(trained, short) -> Path:
    return champion(trained.settings.models, f"patron-{short}").folder


def scores_of(trained, short):
    """The newest rows, and the scores of those whom the model scores, None for the others."""
    model, manifest = open_model(folder_of(trained, short))
    rows = latest(trained.settings, list(manifest.features))
    scored = np.ones(len(rows), dtype=bool)
    if short == "churn":
        scored = model.statuses(rows.columns) == "scored"
    found = {}
    for name, values in SCORES[short](model, rows.take(scored).columns).items():
        column = np.full(len(rows), None, dtype=object)
        column[scored] = values
        found[name] = column.tolist()
    return rows, found


@pytest.mark.parametrize("short", SCORES)
def test_the_artifact_holds_what_the_model_reads_and_answers(trained, short):
    found = verified(folder_of(trained, short))
    assert FILE in found.files
    document = json.loads((folder_of(trained, short) / FILE).read_text())
    references = {part: Reference.of(each) for part, each in document.items()}
    names = {each.partition(":")[2] for each in found.features}
    assert set(references["features"].columns) <= {each for each in names if not each.endswith("_at")}
    assert {"recency_days", "spend_total"} <= set(references["features"].columns)
    assert references["features"].last == newest_cutoff(trained.settings).timestamp()
    _, scores = scores_of(trained, short)
    assert set(references["scores"].columns) == set(scores)


@pytest.mark.parametrize("short", sorted(set(JOBS) - set(SCORES)))
def test_other_models_hold_no_reference(trained, short):
    assert FILE not in verified(folder_of(trained, short)).files


@pytest.mark.parametrize("short", JOBS)
def test_the_run_holds_the_report(trained, short):
    run = tracking.client(trained.settings).get_run(trained.results[short]["run_id"])
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    found = json.loads((folder / "quality.json").read_text())
    assert "order_lines" in found["sources"]["tables"]
    assert (folder / "quality.md").read_text().startswith("# Quality")
    assert run.data.metrics["quality.alarms"] == len(found["sources"]["alarms"])
    told = trained.results[short]["quality"]
    if short in SCORES:
        assert run.data.metrics["drift.max_psi"] == found["drift"]["max_psi"] == told["drift"]["max_psi"]
        assert run.data.metrics["drift.alarms"] == len(told["drift"]["alarms"])
        assert "| recency_days |" in (folder / "quality.md").read_text()
    else:
        assert found["drift"] is None and told["drift"] is None


@pytest.mark.parametrize("short", SCORES)
def test_what_training_saw_is_no_drift(trained, short):
    rows, scores = scores_of(trained, short)
    found = drift_of(folder_of(trained, short), rows, scores)
    assert found["alarms"] == []
    assert 0 < found["customers"] <= len(rows)


def test_what_breaks_after_the_training_is_told_in_the_status(trained):
    rows, scores = scores_of(trained, "churn")
    rows.columns["spend_total"][:] = np.nan
    drift = drift_of(folder_of(trained, "churn"), rows, scores)
    assert [each.split(":")[0] for each in drift["alarms"]] == ["spend_total"]
    assert "missing 0.0% -> 100.0%" in drift["alarms"][0]
    keep_drift(trained.settings, {"patron-churn": drift})
    assert status(trained.settings)["quality"]["drift"]["alarms"][0].startswith("patron-churn: spend_total")


def test_an_artifact_of_before_still_opens(trained, tmp_path):
    old = shutil.copytree(folder_of(trained, "churn"), tmp_path / "old")
    manifest = verified(old)
    (old / FILE).unlink()
    seal(old, **{name: getattr(manifest, name) for name in type(manifest).model_fields if name != "files"})
    open_model(old)
    rows, scores = scores_of(trained, "churn")
    assert drift_of(old, rows, scores) is None


def test_a_changed_reference_is_refused(trained, tmp_path):
    changed = shutil.copytree(folder_of(trained, "churn"), tmp_path / "changed")
    (changed / FILE).write_text("{}")
    with pytest.raises(ArtifactError, match=r"differs from its manifest in reference\.json"):
        open_model(changed)


def test_only_customers_who_are_scored_are_looked_at(trained):
    job = open_job(trained.settings, "churn")
    model, _ = open_model(folder_of(trained, "churn"))
    seen = look(job, model)
    newest = seen.moments == job.cutoff.timestamp()
    rows, scores = scores_of(trained, "churn")
    assert newest.sum() == sum(each is not None for each in scores["churn_probability"]) < len(rows)
    assert set(np.unique(seen.moments)) == {each.timestamp() for each in {*job.data, job.cutoff}}


def test_the_same_job_gives_the_same_reference(trained):
    job = open_job(trained.settings, "lifetime-value")
    model, _ = open_model(folder_of(trained, "lifetime-value"))
    again = json.loads(json.dumps(follow(job, model)[0]))
    assert again == json.loads((folder_of(trained, "lifetime-value") / FILE).read_text())


def test_alarms_are_told_to_who_trains():
    assert said({"alarms": [], "drift": None}) == []
    drift = {"max_psi": 1.0, "alarms": ["spend moved"]}
    assert said({"alarms": ["no orders"], "drift": drift}) == ["Quality: no orders", "Drift: spend moved"]

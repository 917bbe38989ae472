"""What a training leaves behind: the registry, each run's record, local champions, files without pickle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from features.offline import historical, latest, snapshot
from features.views import offered
from patron.artifacts import MANIFEST, NAMES, champion, verified
from patron.lake.tables import Lake
from patron.models.base import history, open_model
from training import tracking
from training.jobs import JOBS
from training.ranking import POPULARITY_WINDOWS

PLOTS = {
    "recommender": {"recall_by_k", "weights"},
    "churn": {"calibration", "gain"},
    "lifetime-value": {"calibration", "gain"},
    "portrait": {"segment_sizes", "segment_value", "cluster_sizes", "gain"},
    "replenishment": {"calibration", "gain", "importance"},
    "offers": {"policy_value", "responses"},
}


def run_of(trained, short):
    return tracking.client(trained.settings).get_run(trained.results[short]["run_id"])


def artifact_folder(trained, short) -> Path:
    return Path(run_of(trained, short).info.artifact_uri.removeprefix("file://"))


def test_every_model_is_registered_with_its_first_champion(trained):
    tracker = tracking.client(trained.settings)
    assert {each.name for each in tracker.search_registered_models()} == set(NAMES)
    for short, result in trained.results.items():
        assert result["outcome"] == "promoted", result["gate"]
        found = tracker.get_model_version_by_alias(f"patron-{short}", "champion")
        assert (str(found.version), found.run_id) == (result["version"], result["run_id"])
        assert tracking.alias_version(trained.settings, f"patron-{short}", "challenger") == "2"
        assert "## On the last, untouched window" in found.description


@pytest.mark.parametrize("short", JOBS)
def test_a_run_holds_what_a_reviewer_looks_for(trained, short):
    run, result, folder = run_of(trained, short), trained.results[short], artifact_folder(trained, short)
    assert run.info.status == "FINISHED"
    assert {each.stem for each in folder.glob("plots/*.png")} >= PLOTS[short]
    assert all(each.stat().st_size > 5000 for each in folder.glob("plots/*.png"))
    assert (folder / "model_card.md").read_text().startswith(f"# patron-{short}: {result['kind']}")
    assert json.loads((folder / MANIFEST).read_text())["version"] == result["run_id"]
    assert verified(folder / "evaluated").cutoff < verified(shipped(trained, short)).cutoff
    assert run.data.params["kind"] == result["kind"]
    assert run.data.params["data.test_cutoff"] == result["data"]["test_cutoff"]
    assert set(run.data.tags) >= {"git_commit", "data_hash", "lake_id", "gate", "gate_reasons"}
    assert run.data.tags["lake_id"] == Lake(trained.settings.lake).facts()["lake_id"]


@pytest.mark.parametrize("short", JOBS)
def test_metrics_stand_with_intervals_beside_the_others(trained, short):
    found, result = run_of(trained, short).data.metrics, trained.results[short]
    primary = result["primary"]
    assert found[f"{primary}.low"] <= found[primary] <= found[f"{primary}.high"]
    assert found[primary] == result["metrics"][primary]["value"]
    assert result["baseline"] in {*result["beside"], result["kind"]}
    for other, measured in result["beside"].items():
        assert found[f"{other}.{primary}"] == measured[primary]
    card = (artifact_folder(trained, short) / "model_card.md").read_text()
    assert f"| {primary} | {found[primary]:.4f} |" in card


def test_popularity_with_its_window_tuned_stands_beside_every_recommender(trained):
    run = run_of(trained, "recommender")
    assert run.data.params["kind"] != "popularity"
    assert 0 < run.data.metrics["popularity.ndcg_at_10"] < run.data.metrics["ndcg_at_10"]
    assert int(run.data.params["data.popularity_window_days"]) in POPULARITY_WINDOWS


def test_the_report_is_json_without_infinities(trained):
    for short, result in trained.again.items():
        text = (trained.settings.reports / f"train-{short}.json").read_text()
        assert json.loads(text, parse_constant=pytest.fail) == json.loads(json.dumps(result))


def shipped(trained, short) -> Path:
    return champion(trained.settings.models, f"patron-{short}").folder


@pytest.mark.parametrize("short", JOBS)
def test_local_champions_are_verified_and_ask_for_features_that_exist(trained, short):
    found = champion(trained.settings.models, f"patron-{short}")
    assert found.version == trained.results[short]["version"]
    assert found.manifest.name == f"patron-{short}"
    assert found.manifest.features.items() <= offered().items()
    assert found.manifest.features
    model, manifest = open_model(found.folder)
    assert type(model).__name__ == manifest.model.partition(":")[2]


@pytest.mark.parametrize(
    "short", ["churn", "lifetime-value", "recommender", "portrait", "replenishment", "offers"]
)
def test_mlflow_loads_the_champion_and_predicts_the_same(trained, short):
    import pandas as pd

    tracking.client(trained.settings)
    import mlflow

    model, manifest = open_model(shipped(trained, short))
    rows = latest(trained.settings, list(manifest.features))
    rows = rows.take(np.arange(20))
    frame = pd.DataFrame({name: list(values) for name, values in rows.columns.items()})
    found = mlflow.pyfunc.load_model(f"models:/patron-{short}@champion").predict(frame)
    assert len(found) == 20
    if short == "churn":
        assert np.array_equal(found, model.predict(rows.columns))
    elif short == "lifetime-value":
        assert np.array_equal(found, model.predict(rows.columns).expected_value)
    elif short == "recommender":
        assert all(len(set(each)) == 10 for each in found)
    elif short == "portrait":
        assert found.tolist() == model.segment(rows.columns).tolist()
    elif short == "replenishment":
        told = [model.due(history(rows.columns, row), 10) for row in range(20)]
        assert found == [[each.product_id for each in due] for due in told]
    else:
        assert set(found) <= {"none", *(each.offer_id for each in model.offers)}


def test_nothing_anywhere_is_pickled(trained):
    files = [each for each in (trained.settings.mlruns / "artifacts").rglob("*") if each.is_file()]
    files += [each for each in trained.settings.models.rglob("*") if each.is_file()]
    assert len(files) > 40
    assert not [each.name for each in files if each.suffix in (".pkl", ".pickle", ".joblib", ".pt", ".bin")]
    for each in files:
        assert not each.read_bytes().startswith((b"\x80\x04", b"\x80\x05")), f"{each.name} is a pickle"
        if each.name == "MLmodel":
            flavor = yaml.safe_load(each.read_text())["flavors"]["python_function"]
            assert "python_model" not in flavor, "the model was pickled by cloudpickle"
            assert (each.parent / Path(flavor["model_code_path"]).name).is_file()
        if each.suffix == ".npz":
            with np.load(each, allow_pickle=False) as stored:
                assert all(not stored[name].dtype.hasobject for name in stored.files)


def test_no_customer_stands_in_an_artifact(trained):
    ids = snapshot(trained.settings, ["customer_activity:orders_total"], cutoff(trained)).ids
    for each in (trained.settings.models).rglob("*"):
        if each.is_file() and each.suffix in (".json", ".txt"):
            text = each.read_text()
            assert not [name for name in ids[:50] if f'"{name}"' in text]


def cutoff(trained):
    from features.offline import newest_cutoff

    return newest_cutoff(trained.settings)


def test_training_reads_what_the_snapshots_hold(trained):
    """Feast's point-in-time join gives a cutoff's own snapshot, not an older or newer one."""
    references = ["customer_activity:recency_days", "customer_activity:spend_total"]
    from features.build import built_cutoffs

    for moment in built_cutoffs(trained.settings)[::5]:
        told = snapshot(trained.settings, references, moment)
        joined = historical(trained.settings, told.ids, [moment] * len(told), references)
        for name in told.columns:
            assert np.array_equal(told.columns[name], joined.columns[name], equal_nan=True)

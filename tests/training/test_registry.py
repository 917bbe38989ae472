"""Champions: kept by equal or worse challengers, promoted, rolled back, never tampered with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from patron.artifacts import champion, kept
from patron.errors import ArtifactError, UsageError
from patron.settings import Settings
from tests.training.shop import POOR
from training import registry, tracking
from training.commands import app
from training.jobs import JOBS, open_job
from training.run import train

CHURN = "patron-churn"


def champion_version(settings: Settings) -> str | None:
    """The champion by alias, which is also the one that serving reads."""
    version = tracking.alias_version(settings, CHURN, "champion")
    assert champion(settings.models, CHURN).version == version
    return version


@pytest.mark.parametrize("short", JOBS)
def test_the_same_data_and_seed_give_the_same_metrics_to_the_last_digit(trained, short):
    first, again = trained.results[short], trained.again[short]
    assert again["outcome"] == "unchanged"
    assert again["metrics"] == first["metrics"]
    assert again["kind"] == first["kind"] and again["data"] == first["data"]
    name = f"patron-{short}"
    assert champion(trained.settings.models, name).version == first["version"]
    assert tracking.alias_version(trained.settings, name, "challenger") == again["version"]


def test_a_worse_challenger_is_refused_and_the_champion_stays(own, rivals):
    result = rivals.results[1]
    assert result["outcome"] == "refused"
    assert any("against the champion: not better" in each for each in result["gate"])
    assert "champion 1" in result["beside"]
    assert champion_version(own) == "1"
    assert tracking.alias_version(own, CHURN, "challenger") == "2"
    run = tracking.client(own).get_run(result["run_id"])
    assert run.data.tags["gate"] == "refused"
    assert "not better" in run.data.tags["gate_reasons"]
    assert f"champion_1.{result['primary']}" in run.data.metrics
    assert len(registry.audit(own)) == 1


def test_another_horizon_is_another_model(own):
    """The parameters are the same; what they are fitted to is not."""
    other = own.model_copy(update={"churn_horizon_days": 14})
    assert train(open_job(other, "churn"))["outcome"] != "unchanged"


def test_another_seed_is_another_fit(own):
    assert train(open_job(own.model_copy(update={"seed": 5}), "churn"))["outcome"] != "unchanged"


def test_new_code_is_judged_though_data_and_parameters_are_the_same(own, monkeypatch):
    from patron.models.churn import Churn

    honest = Churn.predict
    monkeypatch.setattr(Churn, "predict", lambda self, rows: 1 - honest(self, rows))
    monkeypatch.setattr("training.run.open_model", lambda folder: (Upright(folder), manifest_of(folder)))
    assert train(open_job(own, "churn"))["outcome"] == "refused"


def manifest_of(folder: Path):
    from patron.models.base import open_model

    return open_model(folder)[1]


class Upright:
    """A loaded model that still predicts as it did."""

    def __init__(self, folder: Path) -> None:
        from patron.models.base import open_model

        self.model = open_model(folder)[0]

    def predict(self, rows):
        return self.model.calibration(self.model.scores(rows))


def test_the_champion_of_another_lake_is_not_compared(own):
    path = own.lake / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lake_id": "another"}))
    told: list[str] = []
    result = train(open_job(own, "churn", POOR), told.append)
    assert "Champion 1 is of another lake; it is not compared." in told
    assert result["outcome"] == "promoted"
    assert not [each for each in result["beside"] if each.startswith("champion")]
    assert champion_version(own) == "3"


def test_a_champion_that_cannot_be_read_is_not_compared(own):
    folder = run_artifacts(own) / "evaluated"
    (folder / "churn.json").write_text("{}")
    told: list[str] = []
    train(open_job(own, "churn", POOR), told.append)
    assert any(each.startswith("Champion 1 cannot be judged") for each in told)


def run_artifacts(settings: Settings, version: str = "1") -> Path:
    tracker = tracking.client(settings)
    run = tracker.get_run(tracker.get_model_version(CHURN, version).run_id)
    return Path(run.info.artifact_uri.removeprefix("file://"))


def registered_files(settings: Settings) -> list[Path]:
    """Copies of the shipped artifact that the registry keeps."""
    return list((settings.mlruns / "artifacts" / CHURN / "models").rglob("shipped/churn.json"))


def test_promote_and_roll_back_and_back_again(own):
    train(open_job(own, "churn", POOR))
    entry = registry.promote(own, CHURN, "2", "to see")
    assert (entry["from"], entry["to"], entry["reason"]) == ("1", "2", "to see")
    registry.promote(own, CHURN, "3", "to see more")
    assert champion_version(own) == "3"
    assert registry.rollback(own, CHURN)["to"] == "2"
    assert champion_version(own) == "2"
    assert registry.rollback(own, CHURN)["to"] == "1"
    assert champion_version(own) == "1"
    with pytest.raises(ArtifactError, match="no earlier champion"):
        registry.rollback(own, CHURN)
    lines = [(each["action"], each["from"], each["to"]) for each in registry.audit(own)]
    assert lines == [
        ("promote", None, "1"),
        ("promote", "1", "2"),
        ("promote", "2", "3"),
        ("rollback", "3", "2"),
        ("rollback", "2", "1"),
    ]
    assert all(each["model"] == CHURN and each["by"] and each["at"] for each in registry.audit(own))


def test_a_version_is_kept_for_experiments_and_the_champion_stays(own, rivals):
    assert registry.keep_version(own, CHURN, "2")["from"] == "1"
    assert kept(own.models, CHURN, "2").manifest.name == CHURN
    assert champion_version(own) == "1"
    assert len(registry.audit(own)) == 1


def test_promoting_the_champion_again_is_no_step_to_go_back_over(own):
    registry.promote(own, CHURN, "2", "by hand")
    registry.promote(own, CHURN, "2", "once more")
    assert registry.rollback(own, CHURN)["to"] == "1"


def test_a_tampered_artifact_is_not_promoted(own):
    for path in registered_files(own):
        path.write_text(path.read_text().replace('"base_rate"', '"base_rate" '))
    with pytest.raises(ArtifactError, match=r"differs from its manifest in churn\.json"):
        registry.promote(own, CHURN, "2", "by hand")
    assert champion_version(own) == "1"
    assert len(registry.audit(own)) == 1


def test_an_artifact_that_was_sealed_again_is_not_promoted(own):
    """Whoever changes the files can change the manifest beside them, but not the tag in the registry."""
    from patron.artifacts import seal, verified

    for path in registered_files(own):
        facts = verified(path.parent).model_dump(exclude={"files"})
        path.write_text(path.read_text().replace('"base_rate"', '"base_rate" '))
        seal(path.parent, **facts)
    with pytest.raises(ArtifactError):
        registry.promote(own, CHURN, "2", "by hand")
    assert champion_version(own) == "1"


@pytest.mark.parametrize("version", ["99", "abc", "", "-1"])
def test_a_version_that_is_not_there(own, version):
    with pytest.raises(ArtifactError, match=f"Version {version} of {CHURN} cannot be read"):
        registry.promote(own, CHURN, version, "by hand")
    assert champion_version(own) == "1"


def test_a_version_whose_files_are_gone(own):
    for path in registered_files(own):
        shutil.rmtree(path.parent)
    with pytest.raises(ArtifactError):
        registry.promote(own, CHURN, "2", "by hand")
    assert champion_version(own) == "1"


def test_a_failed_run_promotes_nothing_and_says_that_it_failed(own, monkeypatch):
    from training.churn import ChurnJob

    def fails(self, model):
        raise RuntimeError("no ink")

    monkeypatch.setattr(ChurnJob, "figures", fails)
    with pytest.raises(RuntimeError):
        train(open_job(own, "churn", POOR))
    tracker = tracking.client(own)
    runs = tracker.search_runs([tracking.experiment(own, CHURN)])
    assert sorted(each.info.status for each in runs) == ["FAILED", "FINISHED", "FINISHED"]
    assert champion_version(own) == "1"
    import mlflow

    assert mlflow.active_run() is None


def test_names():
    assert tracking.full_name("churn") == tracking.full_name(CHURN) == CHURN
    known = "recommender, churn, lifetime-value, portrait, replenishment, offers"
    with pytest.raises(UsageError, match=f"There are: {known}"):
        tracking.full_name("chrun")
    with pytest.raises(UsageError, match="There are: recommender, churn"):
        open_job(Settings(), "chrun")


class TestCommands:
    @pytest.fixture
    def ask(self, own, monkeypatch):
        for name in ("home", "mlruns", "configs", "churn_horizon_days", "cutoff_step_days", "threads"):
            monkeypatch.setenv(f"PATRON_{name.upper()}", str(getattr(own, name)))

        def ask(*words: str):
            return CliRunner().invoke(app, [*words, "--json"])

        return ask

    def test_a_refusal_ends_with_three_and_tells_why(self, ask, own):
        path = own.configs / "models" / "churn.toml"
        path.write_text(path.read_text().replace("trees = 40", "trees = 1"))
        done = ask("train", "churn")
        assert done.exit_code == 3
        assert json.loads(done.stdout)["outcome"] == "refused"
        assert champion_version(own) == "1"

    def test_unchanged_ends_well(self, ask):
        done = ask("train", "churn")
        assert (done.exit_code, json.loads(done.stdout)["outcome"]) == (0, "unchanged")

    def test_promote_and_rollback(self, ask, own):
        done = ask("promote", "churn", "2", "--reason", "fresher")
        assert (done.exit_code, json.loads(done.stdout)["to"]) == (0, "2")
        done = ask("rollback", "churn")
        assert (done.exit_code, json.loads(done.stdout)["to"]) == (0, "1")
        assert champion_version(own) == "1"

    def test_evaluate(self, ask):
        document = json.loads(ask("evaluate", "churn").stdout)
        assert next(iter(document["metrics"])) == "version 1"
        assert document["primary"] in document["metrics"]["version 1"]

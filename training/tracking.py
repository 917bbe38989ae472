"""MLflow: where runs, artifacts and the registry live, and what stands in each."""

from __future__ import annotations

import logging
import os
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patron.artifacts import NAMES
from patron.errors import ArtifactError, UsageError
from patron.settings import PROJECT, Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

REQUIREMENTS = ["patron"]
CHAMPION, CHALLENGER = "champion", "challenger"


def full_name(model: str) -> str:
    """`churn` or `patron-churn` as registered. Raises UsageError, naming those there are."""
    name = model if model.startswith("patron-") else f"patron-{model}"
    if name not in NAMES:
        known = ", ".join(each.removeprefix("patron-") for each in NAMES)
        raise UsageError(f"No model '{model}'. There are: {known}")
    return name


def client(settings: Settings) -> MlflowClient:
    """A client of this project's store, made at first use."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    (settings.mlruns / "artifacts").mkdir(parents=True, exist_ok=True)
    uri = settings.tracking_uri
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def experiment(settings: Settings, name: str) -> str:
    """Id of the experiment, made with its artifacts under `mlruns/artifacts`."""
    tracker = client(settings)
    found = tracker.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = (settings.mlruns.resolve() / "artifacts" / name).as_uri()
    return str(tracker.create_experiment(name, artifact_location=location))


@contextmanager
def run(settings: Settings, name: str, title: str, nested: bool = False) -> Iterator[str]:
    """An MLflow run of the experiment `name`; gives its id. A run that raises is marked as failed."""
    number = experiment(settings, name)
    import mlflow

    with mlflow.start_run(experiment_id=number, run_name=title, nested=nested) as started:
        yield started.info.run_id


def git_commit() -> str:
    """The project's commit, `+` where files differ from it, or `unknown` outside a checkout."""
    try:
        told = subprocess.run(
            ["git", "-C", str(PROJECT), "describe", "--always", "--dirty=+", "--abbrev=40"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return told.stdout.strip()


def register(settings: Settings, name: str, folder: Path, run_id: str, tags: dict[str, str]) -> str:
    """Log a sealed artifact as an MLflow model of the running run and register it; returns its version."""
    tracker = client(settings)
    import mlflow
    from mlflow.exceptions import MlflowException

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={"artifact": str(folder)},
            pip_requirements=REQUIREMENTS,
        )
    try:
        tracker.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = tracker.create_model_version(
        name, source=logged.model_uri, run_id=run_id, tags=tags, model_id=logged.model_id
    )
    return str(version.version)


def fetched(settings: Settings, name: str, version: str, part: str, target: Path) -> Path:
    """A folder of a registered version, copied to `target`: `shipped`, or `evaluated`, its judged twin.

    Raises ArtifactError when the version or its files are not there.
    """
    tracker = client(settings)
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        found = tracker.get_model_version(name, version)
        if part == "shipped":
            uri = f"models:/{name}/{version}"
            return (
                Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(target))) / "artifacts" / "shipped"
            )
        uri = f"runs:/{found.run_id}/{part}"
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(target)))
    except (MlflowException, OSError) as error:
        raise ArtifactError(
            f"Version {version} of {name} cannot be read from the registry: {error}"
        ) from None


def alias_version(settings: Settings, name: str, alias: str) -> str | None:
    """The version that an alias stands for; None where there is none."""
    tracker = client(settings)
    from mlflow.exceptions import MlflowException

    try:
        return str(tracker.get_model_version_by_alias(name, alias).version)
    except MlflowException:
        return None


def version_tags(settings: Settings, name: str, version: str) -> dict[str, Any]:
    return dict(client(settings).get_model_version(name, version).tags)

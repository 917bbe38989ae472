"""The small shop: with features, trained, or with a refused challenger. Each is made once."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from patron.settings import Settings
from tests.training import shop as small
from training import tracking
from training.jobs import JOBS, open_job
from training.run import train


@dataclass(frozen=True)
class Trained:
    settings: Settings
    results: dict[str, dict[str, Any]]
    """Short name -> what the run reported."""
    again: dict[str, dict[str, Any]]
    """The same of a second run on the same data."""


@dataclass(frozen=True)
class Rivals:
    settings: Settings
    kept: Path
    """A copy of the home."""
    results: list[dict[str, Any]]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return small.open_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without a run: making its tables takes seconds, copying it does not."""
    home = tmp_path_factory.mktemp("store")
    tracking.client(small.settings_of(home)).search_experiments()
    return Path(shutil.copy(home / "mlruns" / "mlflow.db", home / "empty.db"))


@pytest.fixture(scope="session")
def trained(shop: Settings, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    settings = small.copied(shop, tmp_path_factory.mktemp("trained") / "home", empty_store)
    runs = [{short: train(open_job(settings, short)) for short in JOBS} for _ in range(2)]
    return Trained(settings, *runs)


@pytest.fixture(scope="session")
def rivals(shop: Settings, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Rivals:
    """A churn champion, version 1, and a challenger that was refused, version 2."""
    root = tmp_path_factory.mktemp("rivals")
    settings = small.copied(shop, root / "home", empty_store)
    results = [train(open_job(settings, "churn", each)) for each in ({}, small.POOR)]
    shutil.copytree(settings.home, root / "kept")
    return Rivals(settings, root / "kept", results)


@pytest.fixture
def own(rivals: Rivals) -> Settings:
    """The home of `rivals` as it was at first: a test may change it."""
    for part in rivals.kept.iterdir():
        if part.name != "mlruns":
            shutil.rmtree(rivals.settings.home / part.name, ignore_errors=True)
            shutil.copytree(part, rivals.settings.home / part.name)
    artifacts = rivals.settings.mlruns / "artifacts"
    shutil.rmtree(artifacts)
    shutil.copytree(rivals.kept / "mlruns" / "artifacts", artifacts)
    # MLflow keeps connections to the database open: its content is replaced, not the file.
    with (
        closing(sqlite3.connect(rivals.kept / "mlruns" / "mlflow.db")) as before,
        closing(sqlite3.connect(rivals.settings.mlruns / "mlflow.db")) as now,
    ):
        before.backup(now)
    return rivals.settings


@pytest.fixture
def fresh(shop: Settings, empty_store: Path, tmp_path: Path) -> Callable[[], Settings]:
    """Make a home of one's own with the shop's features and nothing trained."""

    def make() -> Settings:
        return small.copied(shop, tmp_path / "home", empty_store)

    return make

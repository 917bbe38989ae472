"""The small shop with features, built once; and trained once. Tests only read both."""

from __future__ import annotations

import shutil
from collections.abc import Callable
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
    return Trained(settings, {short: train(open_job(settings, short)) for short in JOBS})


@pytest.fixture
def fresh(shop: Settings, empty_store: Path, tmp_path: Path) -> Callable[[], Settings]:
    """Make a home of one's own with the shop's features and nothing trained."""

    def make() -> Settings:
        return small.copied(shop, tmp_path / "home", empty_store)

    return make

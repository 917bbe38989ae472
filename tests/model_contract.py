"""What every model keeps, whatever its family: inherit `ModelContract` and say how to fit and ask yours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patron.artifacts import MANIFEST, seal
from patron.errors import ArtifactError
from patron.models.base import Model, class_path, open_model

DATA_FILES = {".npz", ".json", ".txt", ".onnx"}

FITTED: dict[type, Model] = {}


class ModelContract(ABC):
    """Four methods to override; the tests are inherited. The subclass's name begins with Test."""

    name = "patron-churn"
    """Registered name under which the artifact is sealed."""

    @abstractmethod
    def fitted(self, seed: int) -> Model:
        """A small fitted model; the same seed gives the same one."""

    @abstractmethod
    def answers(self, model: Model) -> list[Any]:
        """Arrays of numbers or of strings that the model gives for ordinary customers."""

    @abstractmethod
    def answers_when_missing(self, model: Model) -> list[Any]:
        """The same for customers of whom everything that may be missing is missing."""

    @abstractmethod
    def answers_when_empty(self, model: Model) -> list[Any]:
        """The same for no customer at all, or an empty history."""

    @pytest.fixture
    def model(self) -> Model:
        """Fitted once a class."""
        if type(self) not in FITTED:
            FITTED[type(self)] = self.fitted(seed=7)
        return FITTED[type(self)]

    @pytest.fixture
    def artifact(self, model: Model, tmp_path: Path) -> Path:
        folder = tmp_path / "artifact"
        folder.mkdir()
        model.save(folder)
        seal(
            folder,
            name=self.name,
            model=class_path(model),
            version="0123456789abcdef",
            trained_at=datetime(2017, 12, 1, tzinfo=UTC),
            cutoff=datetime(2017, 11, 1, tzinfo=UTC),
            data_hash="none",
            features={},
            parameters={},
        )
        return folder

    def test_same_seed_gives_the_same_model(self, model: Model) -> None:
        same(self.answers(model), self.answers(self.fitted(seed=7)), tolerance=0)

    def test_answers_are_finite(self, model: Model) -> None:
        finite(self.answers(model))

    def test_what_was_saved_is_what_is_opened(self, model: Model, artifact: Path) -> None:
        opened, manifest = open_model(artifact)
        assert type(opened) is type(model)
        assert manifest.name == self.name
        same(self.answers(model), self.answers(opened))
        same(self.answers_when_missing(model), self.answers_when_missing(opened))

    def test_saving_again_writes_the_same(self, artifact: Path, tmp_path: Path) -> None:
        opened, _ = open_model(artifact)
        again = tmp_path / "again"
        again.mkdir()
        opened.save(again)
        found = {path.name for path in artifact.iterdir()} - {MANIFEST}
        assert {path.name for path in again.iterdir()} == found
        for name in found:
            if not name.endswith(".npz"):  # zip archives carry the time of writing
                assert (again / name).read_bytes() == (artifact / name).read_bytes()

    def test_the_artifact_is_data_only(self, artifact: Path) -> None:
        files = [path for path in artifact.rglob("*") if path.is_file()]
        assert len(files) > 1
        for path in files:
            assert path.suffix in DATA_FILES, f"{path.name} is no data file"
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as arrays:
                    assert all(arrays[key].dtype != object for key in arrays.files)

    def test_a_changed_file_is_refused(self, artifact: Path) -> None:
        path = next(path for path in sorted(artifact.iterdir()) if path.name != MANIFEST)
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(ArtifactError, match="differs from its manifest"):
            open_model(artifact)

    def test_missing_values_are_accepted(self, model: Model) -> None:
        finite(self.answers_when_missing(model))

    def test_an_empty_batch_is_answered_by_nothing(self, model: Model) -> None:
        assert all(len(each) == 0 for each in self.answers_when_empty(model))


def same(left: list[Any], right: list[Any], tolerance: float = 1e-9) -> None:
    """Equal lists of arrays; numbers within `tolerance`."""
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        if np.asarray(one).dtype.kind in "fiub":
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
        else:
            assert list(one) == list(other)


def finite(answers: list[Any]) -> None:
    """No NaN and no infinity in any array of numbers."""
    for each in answers:
        if np.asarray(each).dtype.kind == "f":
            assert np.isfinite(each).all()

"""Artifacts are data behind a hashed manifest: whatever differs is refused before it is parsed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from patron.artifacts import MANIFEST, champion, install, seal, verified
from patron.errors import ArtifactError, NoChampion
from patron.models.base import model_class, open_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "part").mkdir(parents=True)
    (made / "a.json").write_text("{}")
    (made / "part" / "b.txt").write_text("b")
    seal(
        made,
        name="patron-churn",
        model="patron.models.churn:Churn",
        version="run",
        trained_at=datetime(2024, 1, 2, tzinfo=UTC),
        cutoff=datetime(2024, 1, 1, tzinfo=UTC),
        data_hash="hash",
        features={"customer_activity:recency_days": "Float64"},
        parameters={},
    )
    return made


def test_what_was_sealed_is_verified(folder: Path) -> None:
    assert sorted(verified(folder).files) == ["a.json", "part/b.txt"]


def test_a_changed_file_is_refused_and_named(folder: Path) -> None:
    (folder / "part" / "b.txt").write_text("c")
    with pytest.raises(ArtifactError, match=r"part/b\.txt"):
        verified(folder)


def test_an_extra_file_is_refused(folder: Path) -> None:
    (folder / "more.txt").write_text("")
    with pytest.raises(ArtifactError, match=r"more\.txt"):
        verified(folder)


def test_a_missing_file_is_refused(folder: Path) -> None:
    (folder / "a.json").unlink()
    with pytest.raises(ArtifactError, match=r"a\.json"):
        verified(folder)


def test_a_folder_without_a_manifest_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not a model artifact"):
        verified(tmp_path)


def test_a_damaged_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"name": 1}')
    with pytest.raises(ArtifactError, match="damaged"):
        verified(folder)


def test_the_champion_is_the_copy_that_was_installed(folder: Path, tmp_path: Path) -> None:
    install(folder, tmp_path / "models", "7")
    found = champion(tmp_path / "models", "patron-churn")
    assert found.version == "7"
    assert found.folder == tmp_path / "models" / "patron-churn" / "7"


def test_a_manifest_rewritten_after_promotion_is_refused(folder: Path, tmp_path: Path) -> None:
    """Whoever can write files and their hashes still cannot write the hash that the pointer holds."""
    target = install(folder, tmp_path / "models", "7")
    (target / "a.json").write_text('{"other": true}')
    manifest = json.loads((target / MANIFEST).read_text())
    (target / MANIFEST).unlink()
    seal(target, **{key: value for key, value in manifest.items() if key != "files"})
    with pytest.raises(ArtifactError, match="not the manifest that was promoted"):
        champion(tmp_path / "models", "patron-churn")


def test_no_champion_says_how_to_train_one(tmp_path: Path) -> None:
    with pytest.raises(NoChampion, match="patron train churn"):
        champion(tmp_path, "patron-churn")


@pytest.mark.parametrize(
    "path", ["os:system", "patron.errors:PatronError", "patron.models.base:np", "patron.models.x:Y"]
)
def test_only_models_are_loaded(path: str) -> None:
    with pytest.raises(ArtifactError):
        model_class(path)


def test_a_tampered_model_is_refused_before_it_is_parsed(folder: Path) -> None:
    (folder / "a.json").write_text("not json at all")
    with pytest.raises(ArtifactError, match="differs from its manifest"):
        open_model(folder)

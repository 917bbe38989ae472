"""Model artifacts: folders of data files behind a manifest that hashes each of them.

seal(folder, ...)            after save(): writes manifest.json
verified(folder)             before load(): every file hashed, none missing, none extra
keep(source, models, ...)    copies a sealed folder into the verified local copies, for experiments
install(source, models, ...) copies a sealed folder into the verified local copies that serving reads
champion(models, name)       the folder that serving should load
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from patron.errors import ArtifactError, NoChampion
from patron.files import publish_folder, publish_json, sha256

MANIFEST = "manifest.json"
NAMES = (
    "patron-recommender",
    "patron-churn",
    "patron-lifetime-value",
    "patron-portrait",
    "patron-replenishment",
    "patron-offers",
)


class Manifest(BaseModel):
    """What an artifact folder holds and where it came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Registered name, such as `patron-churn`."""
    model: str
    """Class that loads it: `patron.models.<module>:<Class>`."""
    version: str
    """The MLflow run that made it."""
    trained_at: datetime
    cutoff: datetime
    """Nothing at or after this moment was seen by the fit."""
    data_hash: str
    """Hash of the lake and features that it was fitted on."""
    features: dict[str, str]
    """Feast reference -> type of each feature that `predict` reads: `view:feature` -> `Int64`, ..."""
    parameters: dict[str, Any]
    event_log: dict[str, Any] | None = None
    """How far the event log had been moved into the lake: `log_id`, `events`, `updates`; None: not at all."""
    files: dict[str, str]
    """Relative path -> hex SHA-256."""


def seal(folder: Path, **facts: Any) -> Manifest:
    """Hash every file in `folder` and write its manifest. `facts`: the other fields of Manifest."""
    files = {
        str(path.relative_to(folder)): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = Manifest(files=files, **facts)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def verified(folder: Path, manifest_hash: str | None = None) -> Manifest:
    """The manifest, once every file in the folder was found to be the one that it names.

    Raises ArtifactError on a missing, changed or extra file, or a manifest other than `manifest_hash`.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"No {MANIFEST} in {folder}: not a model artifact. Train one: patron train all")
    if manifest_hash is not None and sha256(path) != manifest_hash:
        raise ArtifactError(f"{path} is not the manifest that was promoted. Promote the model again.")
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ArtifactError(f"{path} is damaged: {error.error_count()} wrong fields.") from None
    found = {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()} - {MANIFEST}
    wrong = sorted(found ^ set(manifest.files)) + [
        name
        for name, expected in manifest.files.items()
        if name in found and sha256(folder / name) != expected
    ]
    if wrong:
        raise ArtifactError(
            f"{folder} differs from its manifest in {', '.join(wrong)}. It is not loaded; promote it again."
        )
    return manifest


def install(source: Path, models: Path, registry_version: str) -> Path:
    """`keep` it, and point the champion at it."""
    target = keep(source, models, registry_version)
    publish_json(
        target.parent / "champion.json",
        {
            "version": registry_version,
            "run": verified(target).version,
            "manifest_sha256": sha256(target / MANIFEST),
        },
    )
    return target


def keep(source: Path, models: Path, registry_version: str) -> Path:
    """Verify `source` and copy it to `models/<name>/<registry_version>`; the champion stays."""
    target = models / verified(source).name / registry_version
    with publish_folder(target) as aside:
        shutil.copytree(source, aside, dirs_exist_ok=True)
    return target


class Champion(BaseModel):
    """The verified local copy that serving loads."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    version: str
    """Version in the registry."""
    folder: Path
    manifest: Manifest


def champion(models: Path, name: str) -> Champion:
    """The champion's verified folder.

    Raises NoChampion when none was promoted, ArtifactError when a file differs from its manifest.
    """
    pointer = models / name / "champion.json"
    if not pointer.is_file():
        short = name.removeprefix("patron-")
        raise NoChampion(f"No champion for '{short}'. Train one: patron train {short}")
    fields = json.loads(pointer.read_text(encoding="utf-8"))
    folder = pointer.parent / fields["version"]
    return Champion(
        version=fields["version"], folder=folder, manifest=verified(folder, fields["manifest_sha256"])
    )


def kept(models: Path, name: str, version: str) -> Champion:
    """The verified copy of a version, champion or not. Raises ArtifactError without one, or a changed one."""
    folder = models / name / version
    if not folder.is_dir():
        short = name.removeprefix("patron-")
        raise ArtifactError(
            f"There is no copy of {name} {version} here. "
            f"Fetch it: patron promote {short} {version} --only-keep"
        )
    return Champion(version=version, folder=folder, manifest=verified(folder))

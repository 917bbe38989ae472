"""Promotion and rollback: the champion's alias, its verified local copy, and an audit trail."""

from __future__ import annotations

import getpass
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from patron.artifacts import install, keep, verified
from patron.errors import ArtifactError
from patron.settings import Settings
from training import tracking


def audit_path(settings: Settings) -> Path:
    return settings.reports / "promotions.jsonl"


def audit(settings: Settings) -> list[dict[str, Any]]:
    """Every promotion and rollback of this home, oldest first."""
    path = audit_path(settings)
    return [json.loads(each) for each in path.read_text().splitlines()] if path.is_file() else []


def promote(
    settings: Settings, name: str, version: str, reason: str, action: str = "promote"
) -> dict[str, Any]:
    """Verify a registered version, install it for serving and make it champion.

    Raises ArtifactError when its files differ from the manifest, or the manifest from the one registered; the
    champion then stays.
    """
    before = tracking.alias_version(settings, name, tracking.CHAMPION)
    with checked(settings, name, version) as folder:
        install(folder, settings.models, version)
    tracking.client(settings).set_registered_model_alias(name, tracking.CHAMPION, version)
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "action": action,
        "model": name,
        "from": before,
        "to": version,
        "by": getpass.getuser(),
        "reason": reason,
    }
    append(audit_path(settings), entry)
    return entry


@contextmanager
def checked(settings: Settings, name: str, version: str) -> Iterator[Path]:
    """The files of a registered version, verified, as long as the block runs. Raises ArtifactError."""
    with tempfile.TemporaryDirectory(prefix="patron-") as scratch:
        folder = tracking.fetched(settings, name, version, "shipped", Path(scratch))
        tags = tracking.version_tags(settings, name, version)
        found = verified(folder, tags.get("manifest_sha256")).name
        if found != name:
            raise ArtifactError(f"Version {version} is an artifact of {found}, not of {name}.")
        yield folder


def keep_version(settings: Settings, name: str, version: str) -> dict[str, Any]:
    """Copy a registered version to where serving finds it for experiments; the champion stays."""
    with checked(settings, name, version) as folder:
        keep(folder, settings.models, version)
    champion = tracking.alias_version(settings, name, tracking.CHAMPION)
    return {"action": "keep", "model": name, "from": champion, "to": version}


def champions(settings: Settings, name: str) -> list[str]:
    """The champions of this home in the order they were promoted, those rolled back taken off again."""
    stack: list[str] = []
    for entry in audit(settings):
        if entry["model"] == name and entry["action"] == "rollback":
            stack.pop()
        elif entry["model"] == name and entry["to"] != (stack[-1] if stack else None):
            stack.append(entry["to"])
    return stack


def rollback(settings: Settings, name: str) -> dict[str, Any]:
    """Make the champion before the present one champion again. Raises ArtifactError where there is none."""
    stack = champions(settings, name)
    if len(stack) < 2:
        raise ArtifactError(f"{name} has no earlier champion to go back to.")
    return promote(settings, name, stack[-2], f"rollback from version {stack[-1]}", action="rollback")


def append(path: Path, entry: dict[str, Any]) -> None:
    """Add one line to an audit file and flush it to disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
        file.flush()
        os.fsync(file.fileno())

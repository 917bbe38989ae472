"""Publishing files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_text(path: Path, text: str) -> None:
    """Write `text` aside, flush it, and rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    aside.write_text(text, encoding="utf-8")
    sync(aside)
    aside.replace(path)
    sync(path.parent)


def publish_json(path: Path, document: Any) -> None:
    """`publish_text` of an indented JSON document."""
    publish_text(path, json.dumps(document, indent=2, default=str) + "\n")


@contextmanager
def publish_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill; when the block ends well it takes the place of `folder`, else it is removed.

    An existing folder is replaced: the old one is moved aside first, so a reader sees the old, for an
    instant nothing, then the new, and never a mixture.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    aside.mkdir()
    try:
        yield aside
        for path in aside.rglob("*"):
            sync(path)
        old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.old")
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
        sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise

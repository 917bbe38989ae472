"""Writing the lake: one writer at a time, staged outside, published by replacing the manifest.

Files are renamed into `lake/<table>/` first; they count only once the manifest lists them. What a killed
import left behind, and what an update replaced, is removed by the import after it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patron.errors import LakeError
from patron.files import publish_json, sha256, sync
from patron.lake.tables import MANIFEST, Lake


@contextmanager
def only_writer(home: Path) -> Iterator[None]:
    """Hold the lake's lock. Raises LakeError while another process holds it; a dead process holds nothing."""
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / "import.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LakeError(f"Another import into {home} is running. Try again when it is done.") from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def staging(home: Path, import_id: str) -> Iterator[Path]:
    """A folder beside the lake for everything unfinished; removed at the end, whatever happens."""
    folder = home / "tmp" / f"import-{import_id}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(home: Path, lake: Lake, kept_seconds: float = 0) -> None:
    """Remove what no manifest lists: leftovers of killed imports, and files that an update replaced.

    kept_seconds: how long they stay, counted from when they were written or replaced.
    """
    newest = time.time() - kept_seconds
    for folder in (home / "tmp").glob("import-*"):
        shutil.rmtree(folder, ignore_errors=True)
    facts = lake.facts()
    listed = {
        lake.path / each["path"]
        for kind in ("tables", "quarantine")
        for table in facts.get(kind, {}).values()
        for each in table["files"]
    }
    for path in lake.path.rglob("*"):
        if not path.is_file() or path in listed or path == lake.path / MANIFEST:
            continue
        if path.stat().st_mtime <= newest:
            path.unlink()


@dataclass(frozen=True)
class Written:
    """A finished Parquet file in staging, and where it belongs."""

    path: Path
    target: str
    """Relative to the lake: `order_lines/<import>.parquet`, `quarantine/order_lines/<import>.parquet`."""
    rows: int
    replaces: bool = False
    """Whether it takes the place of all files of its table, or joins them."""
    instead: tuple[str, ...] = ()
    """Files, as the manifest lists them, that it takes the place of where it does not of all."""

    @property
    def place(self) -> tuple[str, str]:
        """(`tables` or `quarantine`, table)."""
        parts = self.target.split("/")
        return ("quarantine", parts[1]) if parts[0] == "quarantine" else ("tables", parts[0])


def publish(
    lake: Lake,
    written: Sequence[Written],
    source: dict[str, Any] | None,
    currency: str | None,
    **more: Any,
) -> None:
    """Make the written files part of the lake, all at once. `more`: further facts of the manifest."""
    facts = dict(lake.facts()) | more
    facts["lake_id"] = facts["lake_id"] or str(uuid.uuid4())
    facts["currency"] = currency
    facts["sources"] = [*facts["sources"], *([source] if source else [])]
    for kind in ("tables", "quarantine"):
        facts[kind] = {table: dict(entry) for table, entry in facts.get(kind, {}).items()}
    for file in written:
        kind, table = file.place
        entry = {"path": file.target, "rows": file.rows, "sha256": sha256(file.path)}
        before = facts[kind].get(table, {}).get("files", [])
        stays = [each for each in before if not (file.replaces or each["path"] in file.instead)]
        files = [*stays, entry]
        facts[kind][table] = {"rows": sum(each["rows"] for each in files), "files": files}
        for each in before:
            if each not in stays:
                os.utime(lake.path / each["path"])  # from now on its readers' time runs
        move(file.path, lake.path / file.target)
    publish_json(lake.path / MANIFEST, facts)


def move(source: Path, target: Path) -> None:
    """Rename a finished file to its place, on disk before anything lists it."""
    sync(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    sync(target.parent)
    sync(target.parent.parent)

"""Reading the lake: immutable Parquet files, listed by one manifest that is replaced in one step."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from patron.errors import LakeError

MANIFEST = "manifest.json"


class Lake:
    """The tables of one shop, as of the manifest that stood when they were first asked for.

    A reader that keeps its Lake sees one state throughout, even while an import commits: the files of the
    state before stay until the import after that.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._facts: dict[str, Any] | None = None

    def facts(self) -> dict[str, Any]:
        """The manifest: `lake_id`, `currency`, `sources`, and per table `rows` and `files`; empty at first.

        With order lines also `time_zone`, that of the mapping that brought them.

        Raises LakeError when it cannot be read.
        """
        if self._facts is None:
            self._facts = self._read()
        return self._facts

    def tables(self) -> list[str]:
        """Names of the tables that hold rows, sorted."""
        return sorted(self.facts()["tables"])

    def files(self, table: str) -> list[Path]:
        """The Parquet files of a table, in the order of the imports that wrote them; [] where absent."""
        return [self.path / each["path"] for each in self._listed(table)]

    def rows(self, table: str) -> int:
        return sum(each["rows"] for each in self._listed(table))

    def require(self, table: str) -> list[Path]:
        """The files of a table. Raises LakeError when it holds none."""
        found = self.files(table)
        if not found:
            raise LakeError(
                f"The lake at {self.path} holds no {table}. Import some: patron import online-retail FILE"
            )
        return found

    def hash(self, *tables: str) -> str:
        """Hash of the content of the named tables, of all when none is named. No table is read for it."""
        digest = hashlib.sha256()
        for table in sorted(tables or self.tables()):
            digest.update(json.dumps([table, [each["sha256"] for each in self._listed(table)]]).encode())
        return digest.hexdigest()

    def _listed(self, table: str) -> list[dict[str, Any]]:
        files: list[dict[str, Any]] = self.facts()["tables"].get(table, {}).get("files", [])
        return files

    def _read(self) -> dict[str, Any]:
        path = self.path / MANIFEST
        if not path.is_file():
            return {"lake_id": None, "currency": None, "sources": [], "tables": {}, "quarantine": {}}
        try:
            facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            facts["tables"]
        except (ValueError, KeyError, TypeError):
            raise LakeError(
                f"{path} is damaged. Restore it, or remove {self.path} and import again."
            ) from None
        return facts

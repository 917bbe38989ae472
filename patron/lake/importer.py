"""Importing: a shop's files, by a mapping, into the lake; every row accounted for."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from patron import console
from patron.errors import DataError, LakeError
from patron.files import publish_json
from patron.lake.commit import only_writer, publish, staging, sweep
from patron.lake.filling import Filled, fill
from patron.lake.mapping import ImportMapping, load_mapping
from patron.lake.sources import Staged, chosen_files, stage
from patron.lake.tables import Lake
from patron.settings import Settings


def import_files(settings: Settings, name: str, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Import files by the mapping `name`; gives the report, which is also written to `settings.reports`.

    arguments: files in the mapping's order, or `key=path`; none for the mapping's defaults.
    Raises ConfigurationError, UsageError, DataError or LakeError; the lake is then as it was, except that
    rows of an import which accepts none are kept in the quarantine.
    """
    mapping = load_mapping(settings.configs / "imports", name)
    files = chosen_files(mapping, arguments)
    import_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    with only_writer(settings.home):
        lake = Lake(settings.lake)
        one_currency(lake, mapping, name)
        sweep(settings.home, lake)
        with staging(settings.home, import_id) as folder:
            return run(settings, lake, name, mapping, files, import_id, folder)


def one_currency(lake: Lake, mapping: ImportMapping, name: str) -> None:
    """A lake is one shop's. Raises LakeError when it already holds amounts in another currency."""
    held = lake.facts()["currency"]
    if held is not None and held != mapping.currency:
        raise LakeError(
            f"The lake at {lake.path} is kept in {held}; '{name}' is in {mapping.currency}. "
            f"One lake holds one shop. Use another home: PATRON_HOME=var-{name} patron import {name} ..."
        )


def run(
    settings: Settings,
    lake: Lake,
    name: str,
    mapping: ImportMapping,
    files: dict[str, list[Path]],
    import_id: str,
    folder: Path,
) -> dict[str, Any]:
    sources = staged_sources(mapping, files, folder)
    with console.progress() as bars:
        filled = fill(settings, lake, mapping, sources, import_id, folder, bars)
    facts = [each for source in sources.values() for each in source.facts]
    report = {
        "mapping": name,
        "import_id": import_id,
        "lake_id": lake.facts()["lake_id"],
        "currency": mapping.currency,
        "files": facts,
        "tables": {each.table: each.counts for each in filled},
    }
    source = {"mapping": name, "import_id": import_id, "files": facts}
    refused = [each for each in filled if each.refused]
    written = [
        file for each in filled for file in each.written if not refused or file.place[0] == "quarantine"
    ]
    if written:
        clock = {"time_zone": mapping.time_zone} if "order_lines" in report["tables"] else {}
        publish(lake, written, source, mapping.currency, **clock)
    lake = Lake(lake.path)
    report["lake_id"] = lake.facts()["lake_id"]
    publish_json(settings.reports / f"import-{import_id}.json", report)
    if refused:
        raise nothing_usable(refused, lake)
    return report


def nothing_usable(refused: Sequence[Filled], lake: Lake) -> DataError:
    lines = [
        f"  {each.table}: "
        + ", ".join(f"{reason} ({count:,})" for reason, count in each.counts["quarantined"].items())
        for each in refused
    ]
    return DataError(
        "\n".join(
            [
                "Every row was quarantined; nothing was imported. Reasons:",
                *lines,
                f"The rows lie in {lake.path / 'quarantine'}. Correct the mapping or the file.",
            ]
        )
    )


def staged_sources(mapping: ImportMapping, files: dict[str, list[Path]], folder: Path) -> dict[str, Staged]:
    """Every source as raw Parquet in `folder`."""
    size = sum(path.stat().st_size for paths in files.values() for path in paths)
    with console.progress() as bars:
        task = bars.add_task("Reading", total=size)
        return {
            key: stage(key, spec, files[key], folder, lambda read: bars.advance(task, read))
            for key, spec in mapping.files.items()
        }

"""Runs the sections that were asked for, prints what they found, and says whether all of them ran."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from customer_models import report
from customer_models.machine import told
from patron import console
from patron.errors import PatronError
from patron.settings import PROJECT


class NotMeasured(Exception):
    """Why a section could not run."""


def run(options: argparse.Namespace) -> int:
    """0, or 1 where a section did not run; a missed bar is a result."""
    document: dict[str, Any] = {"machine": told(), "problems": {}}
    with tempfile.TemporaryDirectory(prefix="patron-bench-") as scratch:
        for name in options.only:
            console.note(f"Measuring {name}")
            try:
                document[name] = section(name, options, Path(scratch))
            except (NotMeasured, PatronError, OSError) as error:
                document["problems"][name] = str(error)
    document["bars"] = report.bars(document)
    report.show(document)
    if options.json:
        options.json.write_text(json.dumps(document, indent=2, default=str), encoding="utf-8")
    return 1 if document["problems"] else 0


def section(name: str, options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    if name == "cdnow":
        from customer_models import cdnow

        return cdnow.measured(found(options, cdnow.FILE), scratch, options.rounds, options.peers)
    if name == "backtest":
        from customer_models import backtests

        path = found(options, backtests.FILE) / backtests.FILE
        return backtests.measured(path, options.backtest_home or scratch / "retail", options.tests)
    from customer_models.shop import home

    made = home(options)
    if name == "scoring":
        from customer_models import scoring

        return scoring.measured(made, scratch, options.peers)
    from customer_models import parity

    return parity.measured(made, scratch, options.sampled)


def found(options: argparse.Namespace, name: str) -> Path:
    """The folder that holds a data set. Raises NotMeasured."""
    usual = os.environ.get("PATRON_TEST_DATA", PROJECT.parent / "shared" / "data")
    folder = Path(options.data or usual)
    if not (folder / name).is_file():
        raise NotMeasured(f"No {name} in {folder}. Name its folder with --data or PATRON_TEST_DATA.")
    return folder

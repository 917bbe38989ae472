"""From the command's options to tables."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from patron import console
from patron.settings import PROJECT
from recommending import data, report, speed
from recommending.contenders import contenders
from recommending.runner import Runner, scratch
from recommending.splits import GLOBAL, LEAVE_ONE_OUT, READINGS, described, folds

FOLDER = Path(os.environ.get("PATRON_TEST_DATA", PROJECT.parent / "shared" / "data"))
SOURCES = ("amazon_beauty.txt", "online_retail.csv.gz")
SETTINGS = Path(__file__).resolve().parents[1] / "recommend.toml"


def run(options: argparse.Namespace) -> int:
    documents = [one(source, options) for source in sources(options)]
    if options.json:
        options.json.write_text(json.dumps(documents, indent=2) + "\n", encoding="utf-8")
    return 0 if documents else 1


def sources(options: argparse.Namespace) -> list[str]:
    if options.data:
        return [options.data]
    found = [str(FOLDER / name) for name in SOURCES if (FOLDER / name).is_file()]
    if not found:
        console.note(
            f"No data in {FOLDER}. Set PATRON_TEST_DATA to the folder that holds {', '.join(SOURCES)}."
        )
    return [*found, data.COMPLETE_JOURNEY]


def one(source: str, options: argparse.Namespace) -> dict[str, Any]:
    console.note(f"Reading {source}")
    events = data.read(source)
    protocol = fitting(events, options.protocol)
    split = folds(events, protocol)
    settings = tomllib.loads(SETTINGS.read_text(encoding="utf-8")).get(protocol, {})
    with scratch() as folder:
        common = {"seed": options.seed, "minutes": options.minutes}
        runner = Runner(split, protocol, READINGS[protocol], folder, options.threads, common)
        runner.prepare()
        document = report.heading(options, events.facts, protocol, described(split["test"]))
        if options.protocol != "speed":
            outcomes = [runner.run(each) for each in contenders(options, settings, runner)]
            by_reading = {name: [each[name] for each in outcomes] for name in runner.readings}
            document["readings"] = {name: report.rows(each, options) for name, each in by_reading.items()}
            document["comparisons"] = {
                name: report.comparisons(each, options, protocol) for name, each in by_reading.items()
            }
        document["speed"] = speed.measured(runner, options)
    report.show(document)
    return document


def fitting(events: data.Events, asked: str | None) -> str:
    """The protocol that the data set has times for; ends the program where another was asked for."""
    found = GLOBAL if events.timed else LEAVE_ONE_OUT
    if asked in (None, "speed", found):
        return found
    why = "an order's lines have one time, so none is the last" if events.timed else "there are no times"
    sys.exit(f"{events.name} cannot be split {asked}: {why}. Use --protocol {found}.")

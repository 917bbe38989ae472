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
    timed = events.price is not None
    protocol = options.protocol
    if protocol in (None, "speed"):
        protocol = GLOBAL if timed else LEAVE_ONE_OUT
    if (protocol == GLOBAL) and not timed:
        sys.exit(f"{events.name} has no times: use --protocol {LEAVE_ONE_OUT}.")
    if protocol == LEAVE_ONE_OUT and timed:
        sys.exit(
            f"Lines of one order of {events.name} carry one time, none is the last: use --protocol {GLOBAL}."
        )
    split = folds(events, protocol)
    settings = tomllib.loads(SETTINGS.read_text(encoding="utf-8")).get(protocol, {})
    with scratch() as folder:
        common = {"seed": options.seed, "minutes": options.minutes}
        runner = Runner(split, protocol, READINGS[protocol], folder, options.threads, common)
        runner.prepare()
        document = report.heading(options, events.facts, protocol, described(split["test"]))
        chosen, notes = contenders(options, settings, runner)
        document["notes"] = notes
        if options.protocol != "speed":
            outcomes = [runner.run(each) for each in chosen]
            for place, reading in enumerate(runner.readings):
                document[reading] = report.reading(
                    document, reading, [each[min(place, len(each) - 1)] for each in outcomes], options
                )
        document["speed"] = speed.measured(runner, options)
    report.close(document)
    return document

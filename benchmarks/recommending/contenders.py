"""Who takes part: Patron's candidates, what it ships, and the peers."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from recommending import environment
from recommending.ours import SHIPPED, candidates
from recommending.runner import Contender, Runner

PREFIX = "Patron "
IMPLICIT = {
    "implicit ALS": "recommending.peers_implicit:ALS",
    "implicit item-item": "recommending.peers_implicit:ItemItem",
}
APART = {
    "RecTools popular": "recommending.peers_rectools:Popular",
    "RecTools EASE": "recommending.peers_rectools:EASE",
    "RecTools SASRec": "recommending.peers_rectools:SASRec",
    "LensKit ItemKNN": "recommending.peers_lenskit:ItemKNN",
    "LensKit ALS": "recommending.peers_lenskit:ALS",
}
"""Peers that need the environment of `peers.txt`."""


def contenders(
    options: argparse.Namespace, settings: dict[str, list[dict[str, Any]]], runner: Runner
) -> list[Contender]:
    """In the order of the table; those that cannot take part say why."""
    found = picked([*ours(runner), *(peers() if options.peers else [])], options.models)
    if any(each.name in APART for each in found):
        python, why = environment.ready()
        found = [placed(each, python, why) if each.name in APART else each for each in found]
    varied = [(each, settings.get(each.name.removeprefix(PREFIX), [{}])) for each in found]
    return [each.varied(variants) for each, variants in varied if variants]


def ours(runner: Runner) -> list[Contender]:
    names, closed = candidates()
    found = [Contender(PREFIX + name, "recommending.ours:Candidate", {"name": name}) for name in names]
    found += [Contender(PREFIX + name, problem=f"cannot be opened: {why}") for name, why in closed.items()]
    told = {"learning": runner.learning, "readings": list(runner.readings)}
    return [*found, Contender(PREFIX + SHIPPED, "recommending.shipped:Shipped", told, learns=True)]


def peers() -> list[Contender]:
    return [Contender(name, path) for name, path in (IMPLICIT | APART).items()]


def placed(contender: Contender, python: str | None, why: str) -> Contender:
    if python is None:
        return Contender(contender.name, problem=f"not installable: {why}")
    return Contender(contender.name, contender.path, contender.options, python=python)


def picked(found: list[Contender], names: list[str] | None) -> list[Contender]:
    if not names:
        return found
    unknown = [name for name in names if not any(matches(each.name, [name]) for each in found)]
    if unknown:
        known = ", ".join(each.name.removeprefix(PREFIX) for each in found)
        sys.exit(f"No model {', '.join(unknown)}. There are: {known}")
    return [each for each in found if matches(each.name, names)]


def matches(name: str, names: list[str]) -> bool:
    return name in names or name.removeprefix(PREFIX) in names

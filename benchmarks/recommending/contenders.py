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
APART: dict[str, str] = {}
"""Peers that need the environment of `peers.txt`."""


def contenders(
    options: argparse.Namespace, settings: dict[str, Any], runner: Runner
) -> tuple[list[Contender], list[str]]:
    """(contenders in the order of the table, notes on who cannot take part)."""
    names, closed = candidates()
    notes = [f"{PREFIX}{name} cannot be opened: {why}" for name, why in closed.items()]
    found = [
        Contender(PREFIX + name, "recommending.ours:Candidate", {"name": name}, settings.get(name, [{}]))
        for name in names
    ]
    found += [
        Contender(
            f"{PREFIX}{SHIPPED}",
            "recommending.shipped:Shipped",
            {"validation": str(runner.folder("validation"))},
        )
    ]
    if options.peers:
        found += [Contender(name, path, {}, settings.get(name, [{}])) for name, path in IMPLICIT.items()]
        found += apart(options, settings, notes)
    return picked(found, options.models), notes


def apart(options: argparse.Namespace, settings: dict[str, Any], notes: list[str]) -> list[Contender]:
    wanted = [name for name in APART if not options.models or matches(name, options.models)]
    if not wanted:
        return []
    python, why = environment.ready()
    if python is None:
        notes.append(f"{', '.join(wanted)}: not installable: {why}")
        return []
    return [Contender(name, APART[name], {}, settings.get(name, [{}]), python=python) for name in wanted]


def picked(found: list[Contender], names: list[str] | None) -> list[Contender]:
    if not names:
        return found
    unknown = [name for name in names if not any(matches(each.name, [name]) for each in found)]
    if unknown:
        sys.exit(f"No model {', '.join(unknown)}. There are: {', '.join(each.name for each in found)}")
    return [each for each in found if matches(each.name, names)]


def matches(name: str, names: list[str]) -> bool:
    return name in names or name.removeprefix(PREFIX) in names

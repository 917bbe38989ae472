"""The whole command line as pyproject.toml declares it, whether or not the project is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import typer

from patron import cli
from patron.settings import PROJECT

GROUP = "patron.commands"
SCRIPT = """
import sys
from importlib.metadata import EntryPoint
from patron import cli
cli.entry_points = lambda group: [EntryPoint(name, value, group) for name, value in {rooms}.items()]
try:
    cli.main()
finally:
    print("imported:", *sorted({{each.partition(".")[0] for each in sys.modules}}), file=sys.stderr)
"""


def rooms() -> dict[str, str]:
    """Name -> Typer app of every room beside `patron` itself."""
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, str] = declared["project"]["entry-points"][GROUP]
    return found


def patron(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `patron` in a process of its own; stderr ends with the names of the packages it imported."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(rooms=rooms()), *words],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Top-level packages that a run of `patron` had imported when it ended."""
    return set(done.stderr.rstrip().splitlines()[-1].removeprefix("imported: ").split())


def command_tree() -> Any:
    """The Click group behind `patron`, every room's commands in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            cli, "entry_points", lambda group: [EntryPoint(*room, group) for room in rooms().items()]
        )
        return typer.main.get_command(cli.build())


def commands(group: Any = None, above: tuple[str, ...] = ("patron",)) -> Iterator[tuple[str, Any]]:
    """(its words, the command) of every command; groups themselves only where they do something."""
    for name, command in (group or command_tree()).commands.items():
        words = (*above, name)
        if hasattr(command, "commands"):
            yield from commands(command, words)
        else:
            yield " ".join(words), command

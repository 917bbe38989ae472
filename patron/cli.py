"""The command line. Each room brings its commands through the entry points `patron.commands`."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from patron import __version__, commands, console
from patron.errors import PatronError

HELP = """Customer intelligence for an online shop: from raw order lines to served answers.

Start with: patron demo
"""


def build() -> typer.Typer:
    """The whole command line, from this room's commands and those that the other rooms registered."""
    app = typer.Typer(
        name="patron",
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    app.add_typer(commands.app)
    for room in sorted(entry_points(group="patron.commands"), key=lambda each: each.name):
        app.add_typer(room.load())
    return app


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run `patron`; a PatronError ends with its own exit code and without a traceback."""
    try:
        build()()
    except PatronError as error:
        console.fail(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

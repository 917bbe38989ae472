"""How commands speak: one JSON document or a table on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patron.errors import PatronError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

WIDTH = 140
"""Columns that tables may take where stdout is no terminal."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def answer(document: Any, as_json: bool, show: Callable[[Any, Console], None]) -> None:
    """Print a command's result: the document itself as JSON, or what `show` draws of it."""
    from rich.console import Console

    if as_json:
        sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")
    else:
        show(document, Console(width=None if sys.stdout.isatty() else WIDTH))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """A Rich table; the first column is left-aligned, the others right-aligned."""
    from rich.table import Table

    drawn = Table(title=title, title_justify="left", header_style="bold")
    for position, column in enumerate(columns):
        drawn.add_column(column, justify="right" if position else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(cell(value) for value in row))
    return drawn


def cell(value: Any) -> str:
    """A value as people read it: thousands separated, four digits after the point, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}"
    return str(value)


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress display on stderr; silent bars where stderr is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr(), transient=not sys.stderr.isatty()) as bar:
        yield bar


def note(text: str) -> None:
    """One line of progress on stderr."""
    stderr().print(text, markup=False, highlight=False)


def fail(error: PatronError, as_json: bool) -> None:
    """Report an error: text on stderr, and with --json the document that scripts read."""
    if as_json:
        document: Mapping[str, Any] = {"error": {"code": error.code, "detail": str(error)}}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    stderr().print(f"Error: {error}", markup=False, highlight=False, style="red", soft_wrap=True)

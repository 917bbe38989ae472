"""`patron import`."""

from __future__ import annotations

from typing import Annotated

import typer

from patron import console

app = typer.Typer()


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(help="A mapping: configs/imports/NAME.toml.")],
    files: Annotated[
        list[str] | None, typer.Argument(help="Files, in the mapping's order or as KEY=PATH.")
    ] = None,
    as_json: console.JsonOption = False,
) -> None:
    """Bring a shop's files into the lake, by a mapping."""
    from patron.lake.importer import import_files
    from patron.lake.report import show
    from patron.settings import load_settings

    report = import_files(load_settings(), name, files or [])
    console.answer(report, as_json, show)

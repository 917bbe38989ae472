"""Commands of this room: `patron features build | materialize | check | list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from patron import console
from patron.console import JsonOption

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer()
features = typer.Typer(
    help="Compute features, load the online store, prove both equal.", no_args_is_help=True
)
app.add_typer(features, name="features")


@features.command()
def build(
    cutoffs: Annotated[
        list[str] | None,
        typer.Option(help="Dates (UTC midnight) instead of the rolling ones; repeatable, or several in one."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compute point-in-time features at cutoffs and register them in Feast.

    A cutoff that was built from the same data is kept as it is.
    """
    from features.build import build as build_snapshots
    from features.cutoffs import parse
    from features.store import apply
    from patron.settings import load_settings

    settings = load_settings()
    asked = [parse(day) for each in cutoffs or [] for day in each.replace(",", " ").split()]
    with console.progress() as bar:
        task = bar.add_task("Computing features", total=None)
        outcome = build_snapshots(
            settings,
            asked or None,
            advance=lambda what, total: bar.update(
                task, advance=1, total=total, description=f"Computing {what}"
            ),
        )
    apply(settings)
    console.answer(outcome, json, show_build)


def show_build(outcome: dict[str, Any], out: Console) -> None:
    out.print(
        f"{len(outcome['cutoffs'])} cutoffs from {outcome['cutoffs'][0]} to {outcome['cutoffs'][-1]}: "
        f"{outcome['built']} snapshots built, {outcome['kept']} kept, {outcome['rows']:,} rows."
    )


@features.command()
def materialize(json: JsonOption = False) -> None:
    """Load the newest snapshot of every view into the online store."""
    from features.store import materialize as load
    from patron.settings import load_settings

    with console.progress() as bar:
        task = bar.add_task("Loading the online store", total=None)
        outcome = load(
            load_settings(),
            advance=lambda what, total: bar.update(
                task, advance=1, total=total, description=f"Loaded {what}"
            ),
        )
    rows = list(outcome["rows"].items())
    console.answer(
        outcome,
        json,
        lambda _, out: out.print(console.table(f"Online as of {outcome['as_of']}", ["view", "rows"], rows)),
    )


@features.command()
def check(
    customers: Annotated[int, typer.Option(min=1, help="How many customers to compare.")] = 500,
    json: JsonOption = False,
) -> None:
    """Compare the online store, and live features, with the snapshot, value by value."""
    from features.check import check as compare
    from patron.settings import load_settings

    outcome = compare(load_settings(), customers)
    console.answer(outcome, json, show_check)
    if outcome["differences"]:
        console.note("Online store and snapshot differ. Load it again: patron features materialize")
        raise typer.Exit(1)


def show_check(outcome: dict[str, Any], out: Console) -> None:
    verdict = "all equal" if not outcome["differences"] else f"different: {outcome['differences']}"
    out.print(
        f"{outcome['values']:,} values ({outcome['customers']:,} customers x {outcome['features']} features) "
        f"as of {outcome['as_of']}: {verdict}."
    )
    live = outcome["live"]
    out.print(
        f"Live against batch: {live['customers']:,} customers with events, {live['left_out']:,} left out."
    )


@features.command(name="list")
def list_features(json: JsonOption = False) -> None:
    """List every feature with its view and type."""
    from features.views import VIEWS

    found = [
        {"reference": reference, "type": kind, "view": view.name, "entity": view.entity}
        for view in VIEWS
        for reference, kind in view.references.items()
    ]
    rows = [(each["reference"], each["type"], each["entity"]) for each in found]
    console.answer(
        found,
        json,
        lambda _, out: out.print(console.table("Features", ["reference", "type", "entity"], rows)),
    )

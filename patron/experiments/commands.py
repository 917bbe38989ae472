"""Commands of experiments: `patron experiments list | report`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patron import console
from patron.console import JsonOption

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(help="List experiments, and read out what came of one.", no_args_is_help=True)


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List every experiment with its state, its arms and how many units each has."""
    from patron.experiments.readout import listed
    from patron.settings import load_settings

    console.answer(listed(load_settings(), datetime.now(UTC)), json, show_list)


def show_list(found: list[dict[str, Any]], out: Console) -> None:
    if not found:
        out.print("No experiment is configured: configs/experiments/<name>.toml makes one.")
        return
    rows = [
        (
            each["name"],
            each["state"],
            each.get("target"),
            ", ".join(f"{arm} {share:g}" for arm, share in each.get("arms", {}).items()),
            ", ".join(f"{arm} {units:,}" for arm, units in each["units"].items()) or None,
            each["first_exposure_at"] and each["first_exposure_at"][:10],
        )
        for each in found
    ]
    out.print(console.table("Experiments", ["name", "state", "target", "arms", "units", "since"], rows))


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="An experiment: configs/experiments/NAME.toml.")],
    json: JsonOption = False,
) -> None:
    """Read out an experiment: sample ratio, every metric of every arm with its interval, what to conclude."""
    from patron.experiments.readout import read_out
    from patron.settings import load_settings

    console.answer(read_out(load_settings(), name, datetime.now(UTC)), json, show_report)


def show_report(found: dict[str, Any], out: Console) -> None:
    ratio = found["sample_ratio"]
    out.print(
        f"{found['name']} ({found['state']}) on {found['target']}: {found['description']}", markup=False
    )
    counts = [(arm, count, ratio["expected"][arm]) for arm, count in ratio["counts"].items()]
    title = f"Exposed units; sample ratio p = {ratio['p_value']:.3g} at every look"
    out.print(console.table(title, ["arm", "units", "expected"], counts))
    if found["results"]:
        out.print(console.table(head(found), COLUMNS, [shown(each) for each in found["results"]]))
    for each in found["conclusion"]:
        out.print(each, markup=False, highlight=False)


COLUMNS = ["metric", "arm", "role", "units", "control", "difference", "interval", "relative", "p", "verdict"]


def head(found: dict[str, Any]) -> str:
    until = found["orders_until"] or found["events_until"]
    return f"Outcomes in {found['window_days']} days after the exposure; data until {until:%Y-%m-%d}"


def shown(row: dict[str, Any]) -> list[Any]:
    low, high, relative = row["low"], row["high"], row["relative"]
    return [
        row["metric"],
        row["arm"],
        row["role"],
        row["units"] + row["control_units"],
        row["control_mean"],
        row["difference"],
        None if low is None else f"{low:,.4f} .. {high:,.4f}",
        None if relative is None else f"{relative:+.1%}",
        row["p_value"],
        row["verdict"],
    ]

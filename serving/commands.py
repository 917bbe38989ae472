"""Commands of this room: `patron serve | score | movements | calendar | plan | keys ...`."""

from __future__ import annotations

import json as jsonlib
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patron import console
from patron.console import JsonOption
from patron.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer()
keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port. Default: setting `port`.")] = None,
    host: Annotated[str | None, typer.Option(help="Address. Default: setting `host`.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that answer.")] = None,
    json: JsonOption = False,
) -> None:
    """Start the service; Ctrl-C ends it."""
    from patron.settings import load_settings
    from serving.server import listen
    from serving.server import serve as run

    given = {"port": port, "host": host, "workers": workers}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    warn_if_empty(settings)
    listening = listen(settings.host, settings.port)
    url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
    if json:
        sys.stdout.write(jsonlib.dumps({"url": url, "workers": settings.workers}) + "\n")
        sys.stdout.flush()
    else:
        console.note(f"Patron answers at {url} once loaded ({url}/readyz, {url}/docs.json). Ctrl-C ends it.")
    raise typer.Exit(run(settings, listening))


def warn_if_empty(settings: Any) -> None:
    """Say what to do where the service would start with nothing to answer from."""
    from patron.artifacts import NAMES

    if not any((settings.models / name / "champion.json").is_file() for name in NAMES):
        console.note("No model was promoted yet: endpoints will answer 503. Train first: patron train all")
    if not (settings.home / "keys.json").is_file():
        console.note(
            "No API key exists: requests will be refused. Make one: patron keys create NAME --scope crm"
        )


@app.command()
def score(
    to: Annotated[Path | None, typer.Option(help="File to write: .parquet or .csv.")] = None,
    history: Annotated[
        int, typer.Option(min=0, help="Score so many earlier cutoffs too, for movements to start from.")
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Score every customer and write one row each for the CRM; sum up the groups and who moved."""
    from patron.settings import load_settings
    from serving.batch import score_all

    settings = load_settings()
    with console.progress() as bar:
        task = bar.add_task("Scoring customers", total=None)
        outcome = score_all(
            settings, to, history, advance=lambda done, total: bar.update(task, completed=done, total=total)
        )
    console.answer(outcome, json, show_score)


def show_score(outcome: dict[str, Any], out: Console) -> None:
    out.print(f"{outcome['customers']:,} customers as of {outcome['features_as_of']} -> {outcome['path']}")
    for column, counts in outcome["counts"].items():
        out.print(console.table(column, [column, "customers"], list(counts.items())))
    for name in outcome["missing"]:
        out.print(f"Columns of {name} are empty: it was not promoted.")
    if outcome["skipped"]:
        out.print(f"Not scored, as not all that is read is built there: {', '.join(outcome['skipped'])}")
    for name, alarms in outcome["drift"].items():
        for alarm in alarms:
            out.print(f"Drift of {name}: {alarm}", markup=False, style="bold red")
    if outcome["summary"]["movements"]:
        show_movements({"movements": outcome["summary"]["movements"]}, out)


@app.command()
def movements(
    since: Annotated[
        str | None, typer.Option(help="A cutoff that was scored, as 2017-12-05. Default: the one before.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="File to write: who moved, one row each. .parquet or .csv.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show who changed segment, stage, risk or tier since an earlier scoring, with counts and value."""
    from patron.settings import load_settings
    from serving.movements import moved

    console.answer(moved(load_settings(), since, to), json, show_movements)


def show_movements(found: dict[str, Any], out: Console) -> None:
    """The greatest movements of each dimension; who stayed is counted below."""
    from serving.score_history import DIMENSIONS

    matrices = found["movements"]
    for dimension in DIMENSIONS:
        moves = [each for each in matrices[dimension] if each["previous"] != each["current"]]
        rows = [
            (
                each["previous"],
                each["current"],
                each["customers"],
                each["expected_value"],
                each["value_before"],
            )
            for each in moves[:10]
        ]
        columns = ["from", "to", "customers", "value now", "value before"]
        if rows:
            out.print(console.table(f"{dimension} since {matrices['since']}", columns, rows))
    if matrices["models_changed"]:
        changed = ", ".join(matrices["models_changed"])
        out.print(f"Some of it may be due to another version of {changed}.")
    if found.get("path"):
        out.print(f"{found['customers']:,} customers moved -> {found['path']}")


@app.command()
def calendar(
    days: Annotated[int, typer.Option(min=1, max=365, help="How many days ahead.")] = 14,
    to: Annotated[Path | None, typer.Option(help="File to write: .parquet or .csv.")] = None,
    json: JsonOption = False,
) -> None:
    """Write what is due for whom in the coming days: products, orders, birthdays, anniversaries."""
    from patron.settings import load_settings
    from serving.calendar import care_calendar

    console.answer(care_calendar(load_settings(), to, days), json, show_calendar)


def show_calendar(found: dict[str, Any], out: Console) -> None:
    """How much of what there is, and what was left out."""
    title = f"{found['from']} to before {found['until']}"
    out.print(console.table(title, ["kind", "rows"], list(found["kinds"].items())))
    out.print(f"{found['rows']:,} rows for {found['customers']:,} customers -> {found['path']}")
    for consent, count in found["refused"].items():
        out.print(f"{count:,} customers withhold {consent}.")
    for name in found["missing"]:
        out.print(f"Nothing of {name}: it was not promoted.")


@app.command()
def plan(
    to: Annotated[Path | None, typer.Option(help="File to write: .parquet or .csv.")] = None,
    date: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day, as 2026-03-01. Default: today.")
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="How to contact, the preferred first; repeatable.")
    ] = None,
    budget: Annotated[float | None, typer.Option(min=0, help="Of the day, over all offers.")] = None,
    book: Annotated[bool, typer.Option("--book", help="Make every row a decision, its cost held.")] = False,
    json: JsonOption = False,
) -> None:
    """Write whom to contact on a day, and with what: one row a customer, within all limits."""
    from patron.settings import load_settings
    from serving.plan_file import day_plan

    day = date.date() if date else None
    console.answer(day_plan(load_settings(), to, day, channel or (), budget, book), json, show_plan)


def show_plan(found: dict[str, Any], out: Console) -> None:
    """What goes out, and why the others are left alone."""
    if found["quiet"]:
        out.print(f"Nobody is contacted on {found['date']}: {found['quiet'].replace('_', ' ')}.")
    else:
        rows = list(found["offers"].items())
        out.print(console.table(f"{found['date']}", ["offer", "customers"], rows))
    done = "booked" if found["booked"] else "planned"
    out.print(f"{found['rows']:,} contacts {done}, cost {found['cost']:,.2f} -> {found['path']}")
    for code, count in found["left_alone"].items():
        out.print(f"{count:,} left alone: {code.replace('_', ' ')}.")
    for name in found["missing"]:
        out.print(f"Nothing of {name}: it was not promoted.")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="The client that will hold the key.")],
    scope: Annotated[list[str], typer.Option(help="storefront, crm or admin; repeatable.")],
    json: JsonOption = False,
) -> None:
    """Make a key and print it once. A client may hold two at a time."""
    from patron.settings import load_settings
    from serving.keys import SCOPES
    from serving.keys import create as make

    wrong = sorted(set(scope) - set(SCOPES))
    if wrong:
        raise UsageError(f"No scope {', '.join(wrong)}. There are: {', '.join(SCOPES)}")
    key, record = make(load_settings().home / "keys.json", name, scope)  # type: ignore[arg-type]
    document = {"key": key, **shown(record)}
    console.answer(document, json, lambda _, out: out.print(key, highlight=False, soft_wrap=True))
    console.note("Store the key now: it is not shown again.")


@keys.command(name="list")
def list_keys(json: JsonOption = False) -> None:
    """List the live keys, without their secrets."""
    from patron.settings import load_settings
    from serving.keys import read

    found = [shown(each) for each in read(load_settings().home / "keys.json")]
    rows = [(each["lookup"], each["client"], " ".join(each["scopes"]), each["created_at"]) for each in found]
    columns = ["lookup", "client", "scopes", "created"]
    console.answer(found, json, lambda _, out: out.print(console.table("Live keys", columns, rows)))


@keys.command()
def revoke(
    lookup: Annotated[str, typer.Argument(help="The eight characters after `patron_`.")],
    json: JsonOption = False,
) -> None:
    """Revoke a key; running services refuse it within a second or so."""
    from patron.settings import load_settings
    from serving.keys import revoke as remove

    record = remove(load_settings().home / "keys.json", lookup)
    console.answer(
        {"revoked": shown(record)}, json, lambda _, out: out.print(f"Revoked {lookup} of {record.client}.")
    )


def shown(record: Any) -> dict[str, Any]:
    return {
        "lookup": record.lookup,
        "client": record.client,
        "scopes": sorted(record.scopes),
        "created_at": record.created_at.isoformat(),
    }

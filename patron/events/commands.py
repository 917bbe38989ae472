"""Commands of the event log: `patron events flush | quarantine | replay | status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from patron import console
from patron.console import JsonOption

if TYPE_CHECKING:
    from rich.console import Console

    from patron.events.log import EventLog

app = typer.Typer(
    help="Move events into the lake, look at those refused, judge them again.", no_args_is_help=True
)


@app.command()
def flush(json: JsonOption = False) -> None:
    """Move new events, updates and decisions into the lake, each exactly once."""
    from patron.decisions.flush import flush as move_decisions
    from patron.decisions.ledger import Ledger
    from patron.events.flush import flush as move
    from patron.settings import load_settings

    settings, log = load_settings(), opened()
    report = move(settings, log)
    decisions = move_decisions(settings, Ledger(settings.events, log))
    console.answer(report | {"decisions": decisions}, json, show_flush)


def show_flush(report: dict[str, Any], out: Console) -> None:
    found = report["events"]
    out.print(
        f"{found['read']:,} events read: {found['accepted']:,} accepted, {found['duplicate']:,} known. "
        f"{report['pruned']:,} old ones removed from the log."
    )
    if report["decisions"]["read"]:
        made = report["decisions"]
        out.print(
            f"{made['read']:,} decisions read: {made['written']:,} written, {made['settled']:,} settled."
        )
    if report["updates"]:
        columns = ["updates", "read", "changed", "new"]
        rows = [[table, *each.values()] for table, each in report["updates"].items()]
        out.print(console.table("Updates", columns, rows))


@app.command()
def quarantine(
    limit: Annotated[int, typer.Option(min=1, help="How many events to list.")] = 50,
    after: Annotated[int, typer.Option(min=0, help="List those later than this number.")] = 0,
    json: JsonOption = False,
) -> None:
    """List refused events with their reasons."""
    from dataclasses import asdict

    from patron.events.quarantine import quarantined, reasons

    log = opened()
    document = {
        "reasons": reasons(log),
        "events": [asdict(each) for each in quarantined(log, limit, after)],
    }
    console.answer(document, json, show_quarantine)


def show_quarantine(document: dict[str, Any], out: Console) -> None:
    if not document["reasons"]:
        out.print("No event is in quarantine.")
        return
    rows = [
        [str(each["seq"]), each["received_at"], each["times"], each["detail"]] for each in document["events"]
    ]
    out.print(console.table("Quarantine", ["number", "received", "times", "reason"], rows))
    out.print(console.table("Reasons", ["code", "events"], list(document["reasons"].items())))


@app.command()
def replay(json: JsonOption = False) -> None:
    """Judge quarantined events again; those that are valid now go into the log."""
    from datetime import UTC, datetime

    from patron.events.quarantine import replay as again

    console.answer(again(opened(), datetime.now(UTC)), json, show_replay)


def show_replay(counts: dict[str, int], out: Console) -> None:
    out.print(
        f"{counts['judged']:,} events judged again: {counts['accepted']:,} accepted, "
        f"{counts['duplicates']:,} had come meanwhile, {counts['refused']:,} stay."
    )


@app.command()
def status(json: JsonOption = False) -> None:
    """Count what the log holds, what is not in the lake yet, and what is in quarantine."""
    from patron.events.flush import state
    from patron.settings import load_settings

    console.answer(state(load_settings(), opened()), json, show_status)


def show_status(found: dict[str, Any], out: Console) -> None:
    rows = [[name.replace("_", " "), value] for name, value in found.items()]
    out.print(console.table("Event log", ["", "value"], rows))


def opened() -> EventLog:
    from patron.events.log import EventLog
    from patron.settings import load_settings

    return EventLog(load_settings().events)

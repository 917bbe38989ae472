"""What was measured as tables, and every bar with what was reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from customer_models import report_backtest, report_scoring
from patron import console

WIDTH = 170
PARAMETERS_OFF, LIKELIHOOD_OFF = 0.002, 0.1
RMSE, CORRELATION = 1.61, 0.625
FASTER = 0.1
Bar = dict[str, Any]


def bars(document: dict[str, Any]) -> list[Bar]:
    """[{"bar", "reached", "met"}] of the sections that ran."""
    makers: dict[str, Callable[[dict[str, Any]], Iterator[Bar]]] = {
        "cdnow": cdnow_bars,
        "scoring": report_scoring.scoring_bars,
        "backtest": report_backtest.bars,
        "parity": report_scoring.parity_bars,
    }
    return [bar for name, make in makers.items() if name in document for bar in make(document[name])]


def show(document: dict[str, Any]) -> None:
    """Print everything."""
    from rich.console import Console

    out = Console(width=WIDTH, highlight=False)
    drawers = {
        "cdnow": cdnow,
        "scoring": report_scoring.scoring,
        "backtest": report_backtest.drawn,
        "parity": report_scoring.parity,
    }
    out.print(f"Machine: {document['machine']}", markup=False)
    for name, draw in drawers.items():
        for each in draw(document[name]) if name in document else ():
            out.print(each, **({"markup": False} if isinstance(each, str) else {}))
    if document["bars"]:
        rows = [[each["bar"], each["reached"], each["met"]] for each in document["bars"]]
        out.print(console.table("Bars", ["", "reached", "met"], rows))
    for name, problem in document["problems"].items():
        out.print(f"Not measured: {name}: {problem}", markup=False)


def cdnow(found: dict[str, Any]) -> Iterator[Any]:
    data = found["data"]
    yield (
        f"Data: {data['name']}, {data['customers']:,} customers, {data['repeated']:,} of them bought on a "
        "second day; fitted to 1997-09-30 in weeks, the 39 weeks after held out"
    )
    yield (
        f"Protocol: a process each, one thread, one fit to warm up, medians of {3 * found['rounds']} fits in "
        f"{found['rounds']} rounds in turn (pymc-marketing: of one); log-likelihoods by Patron's formula"
    )
    columns = ["fit", "by", "parameters", "off published", "log-likelihood", "CPU ms", "wall ms"]
    columns += ["Patron / it, CPU", "wall"]
    yield console.table("CDNOW: fits", columns, [fit(each) for each in found["fits"]])
    columns = ["39 weeks ahead", "by", "MAE", "RMSE", "correlation", "Gini", "bias"]
    yield console.table("CDNOW: held out", columns, [held(each) for each in found["holdout"]])
    for name, problem in found["skipped"].items():
        yield f"Not run: {name}: {problem}"


def fit(row: dict[str, Any]) -> list[Any]:
    if "problem" in row:
        return [row["family"], row["by"], row["problem"], *[None] * 6]
    return [
        row["family"],
        f"{row['by']} {row['version']}",
        ", ".join(f"{name} {value:.4f}" for name, value in row["parameters"].items()),
        f"{row['off']:.4f}" if "off" in row else None,
        f"{row['log_likelihood']:,.3f}",
        *(f"{1000 * row[clock]:,.1f}" for clock in ("cpu", "wall")),
        *(f"1/{1 / row['ratio'][clock]:.1f}" if row["ratio"] else None for clock in ("cpu", "wall")),
    ]


def held(row: dict[str, Any]) -> list[Any]:
    numbers = [f"{row[name]:.4f}" for name in ("mae", "rmse", "correlation", "gini")]
    return [row["family"], row["by"] or None, *numbers, f"{row['bias']:+.1%}"]


def cdnow_bars(found: dict[str, Any]) -> Iterator[Bar]:
    fits = [each for each in found["fits"] if "problem" not in each]
    for row in fits:
        if row["by"] == "Patron" and "log_likelihood_off" in row:
            off, gap = row["off"], row["log_likelihood_off"]
            reached = f"{off:.4f} and {gap:.3f}"
            met = off <= PARAMETERS_OFF and gap <= LIKELIHOOD_OFF
            yield bar(f"{row['family']}: parameters within .002, log-likelihood within .1", reached, met)
        if row["by"] == "lifetimes":
            reached = ", ".join(f"1/{1 / row['ratio'][clock]:.1f} {clock}" for clock in ("cpu", "wall"))
            met = all(value <= FASTER for value in row["ratio"].values())
            yield bar(f"{row['family']}: fitted in a tenth of lifetimes' time", reached, met)
    for row in found["holdout"]:
        if row["by"] == "Patron":
            reached = f"{row['rmse']:.4f} and {row['correlation']:.4f}"
            met = row["rmse"] <= RMSE and row["correlation"] >= CORRELATION
            yield bar(f"{row['family']}: RMSE at most 1.61, correlation at least .625", reached, met)


def bar(what: str, reached: str, met: bool) -> Bar:
    return {"bar": what, "reached": reached, "met": bool(met)}

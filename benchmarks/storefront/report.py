"""What was measured as tables, each with its ratios and whether the bar is met."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from typing import Any

from patron import console
from storefront import questions

CHURN_TIMES = {questions.FASTAPI: 3.0, questions.MLFLOW: 12.0}
"""Requests a second of the service over those of a peer, at least."""
RECOMMENDATION_CPU = 1.5
"""CPU a request of the service over that of the bare peer, at most."""
TAIL_TIMES = 3.0
"""p99 over p50 at one connection, below."""
LOADING_TIMES = 20.0
WANTED = 0.95
"""Share of the answers that has to be what was asked for: an answer from a lower rung costs less."""
BUSY = 0.9
"""Share of a phase that the load generator itself took; above, it was the limit."""
Rows = list[dict[str, Any]]
Bar = dict[str, Any]


def machine(cores: tuple[set[int], set[int]]) -> list[str]:
    generator, servers = (", ".join(map(str, sorted(each))) for each in cores)
    busy = os.getloadavg()[0]
    told = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, load {busy:.1f}"
    apart = f"load generator and Redis on CPU {generator}, each server on CPU {servers}"
    return [f"Machine: {told}; {apart if cores[0] != cores[1] else 'all on the same CPU'}"]


def protocol(bench: questions.Bench, rows: dict[str, int]) -> list[str]:
    sizes = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    load = f"{bench.connections} connections, closed loop, {bench.seconds:g} s"
    return [
        f"Data: a seeded shop: {sizes}. {bench.begun:,} events posted beforehand.",
        f"Models: {bench.models}.",
        f"Protocol: one worker each, warmed. {load}; beside peers {bench.rounds} times "
        "in turn, medians. Then one connection. Then an open loop at "
        f"{questions.OPEN_SHARE:.0%} of that rate, latency from when a request was due. CPU: user and system "
        "time of all processes of the server; the peers' Redis is not in it.",
    ]


COLUMNS = ("", "req/s", "CPU us/req", "+ Redis us", "1 conn p50", "p95", "p99", "p99/p50")
COLUMNS += ("open p50", "p95", "p99", "errors", "as wanted", "worker MB")


def load_table(title: str, rows: Rows) -> Any:
    return console.table(f"{title} (ms)", list(COLUMNS), [cells(each) for each in rows])


def cells(row: dict[str, Any]) -> list[Any]:
    one, steady = row["one_connection"], row["fixed_rate"]
    return [
        row["name"],
        f"{row['requests_per_second']:,.0f}",
        f"{row['cpu_micros']:,.0f}",
        f"{row['beside_micros']:,.0f}" if row["beside_micros"] else None,
        *(f"{one[name]:.2f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
        f"{tail(row):.1f}",
        *(f"{steady[name]:.2f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
        ", ".join(f"{count} x {name(status)}" for status, count in row["errors"].items()) or "none",
        None if row["good"] is None else f"{row['good']:.0%}",
        f"{row['worker_mb']:,.0f}",
    ]


def name(status: str) -> str:
    return {"0": "broken", "-1": "unanswered"}.get(status, status)


def tail(row: dict[str, Any]) -> float:
    one = row["one_connection"]
    return float(one["p99_ms"] / one["p50_ms"])


def loading_table(rows: Rows) -> Any:
    lines = [
        [
            each["name"],
            f"{each['rows']:,}",
            each["fields"],
            f"{each['seconds']:.1f}",
            f"{each['cpu_seconds']:.1f}",
            f"{each['rows_per_second']:,.0f}",
        ]
        for each in rows
    ]
    return console.table("Materializing", ["", "rows", "features", "s", "CPU s", "rows/s"], lines)


def bars(found: dict[str, Any]) -> Iterator[Bar]:
    """Every bar whose two sides were measured."""
    yield from churn_bars(by_name(found, "churn"))
    yield from recommendation_bars(by_name(found, "recommendations"))
    yield from tail_bars(found)
    loaded = by_name(found, "materializing")
    if len(loaded) == 2:
        ours, theirs = (each["rows_per_second"] for each in loaded.values())
        yield bar("materializing, rows a second over Feast on SQLite", ours / theirs, LOADING_TIMES)


def by_name(found: dict[str, Any], question: str) -> dict[str, Any]:
    return {each["name"]: each for each in found.get(question, {}).get("rows", [])}


def churn_bars(rows: dict[str, Any]) -> Iterator[Bar]:
    for peer, times in CHURN_TIMES.items():
        if {peer, questions.SERVICE} <= set(rows):
            ratio = rows[questions.SERVICE]["requests_per_second"] / rows[peer]["requests_per_second"]
            yield bar(f"churn of one customer, requests a second over {peer}", ratio, times)


def recommendation_bars(rows: dict[str, Any]) -> Iterator[Bar]:
    for peer in (questions.NUMPY, questions.RANKED):
        if {peer, questions.SERVICE} <= set(rows):
            ours = rows[questions.SERVICE]
            found = bar(
                f"recommendations, CPU a request over {peer}",
                ours["cpu_micros"] / rows[peer]["cpu_micros"],
                RECOMMENDATION_CPU,
                most=True,
            )
            yield {**found, "met": found["met"] and ours["good"] >= WANTED}


def tail_bars(found: dict[str, Any]) -> Iterator[Bar]:
    """Of the service alone."""
    beside = {"churn": questions.CHURN_ONE, "recommendations": questions.HOME}
    told = {label: by_name(found, question).get(questions.SERVICE) for question, label in beside.items()}
    for label, row in (told | by_name(found, "endpoints")).items():
        if row is not None:
            yield bar(f"{label}: p99 over p50 at one connection", tail(row), TAIL_TIMES, most=True)


def bar(what: str, ratio: float, limit: float, most: bool = False) -> Bar:
    met = ratio <= limit if most else ratio >= limit
    return {"what": what, "ratio": ratio, "limit": limit, "most": most, "met": bool(met)}


def bars_table(found: list[Bar]) -> Any:
    lines = [
        [
            each["what"],
            f"{each['ratio']:.2f}",
            f"{'<=' if each['most'] else '>='} {each['limit']:g}",
            "met" if each["met"] else "NOT MET",
        ]
        for each in found
    ]
    return console.table("Ratios", ["", "ratio", "bar", ""], lines)


TITLES = {
    "churn": "Churn of one customer",
    "recommendations": "Recommendations for a home page",
    "endpoints": "Endpoints of the service",
}
PEERS = (
    f"{questions.FASTAPI}: get_online_features of what Patron's churn reads, predict on its booster's text.",
    f"{questions.NUMPY}: a vector of 64 by get_online_features, times those of all products, argpartition.",
    f"{questions.RANKED}: also what Patron's recommendations read, and its ranker's predict on the best 100.",
    "Neither knows sessions, filters, diversity, reasons, fallbacks, keys or records.",
)


def show(document: dict[str, Any], out: Any) -> None:
    """Everything, for people."""
    for line in document["about"]:
        out.print(line)
    for question, title in TITLES.items():
        if question in document:
            out.print(load_table(title, document[question]["rows"]))
    for row in rows_of(document):
        if row["good"] is not None and row["good"] < 1 and row["rungs"]:
            told = ", ".join(f"{name} {share:.0%}" for name, share in row["rungs"].items())
            out.print(f"Not all as wanted: {row['name']}: {told}")
    if absent := document.get("endpoints", {}).get("absent"):
        out.print(f"Not there yet, and skipped: {', '.join(absent)}")
    if "materializing" in document:
        out.print(loading_table(document["materializing"]["rows"]))
    for line in PEERS if {"churn", "recommendations"} & set(document) else ():
        out.print(line)
    ready = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in document["ready_seconds"].items())
    if ready:
        out.print(f"Start to the first good answer: {ready}")
    if document["bars"]:
        out.print(bars_table(document["bars"]))
    for each in busy(document):
        out.print(f"The load generator was at its limit with {each}: that rate is its own.")
    for kind in ("skipped", "problems"):
        for name, why in document[kind].items():
            out.print(f"{kind.upper()}: {name}: {why}")


def busy(document: dict[str, Any]) -> list[str]:
    """Rows in which the load generator had no time left."""
    return [row["name"] for row in rows_of(document) if row["generator_busy"] > BUSY]


def rows_of(document: dict[str, Any]) -> Rows:
    """Every row of every load."""
    return [row for question in TITLES for row in document.get(question, {}).get("rows", [])]

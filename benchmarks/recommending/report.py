"""The tables on stdout."""

from __future__ import annotations

import argparse
import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from patron import console
from recommending.contenders import PREFIX
from recommending.ours import SHIPPED
from recommending.runner import Outcome
from training.bootstrap import difference

LIBRARIES = ("numpy", "scipy", "implicit", "lightgbm", "onnxruntime", "torch")
COLUMNS = {
    "recall_at_10": "R@10",
    "ndcg_at_10": "N@10",
    "recall_at_20": "R@20",
    "coverage_at_10": "cov@10",
    "novelty_at_10": "novelty",
}
APART = {"repeat_recall_at_10": "repeat R@10", "explore_recall_at_10": "explore R@10"}
READINGS = {
    "repeats": "repeats kept: what was bought before may be recommended and counts",
    "new": "new products only: what was bought before is masked",
}


def heading(
    options: argparse.Namespace, facts: dict[str, Any], protocol: str, split: dict[str, Any]
) -> dict[str, Any]:
    """What every number depends on."""
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "versions": {name: found for name in LIBRARIES if (found := installed(name))},
        "data": facts,
        "protocol": {"name": protocol, **split},
        "options": {name: getattr(options, name) for name in ("threads", "seed", "minutes", "repeats")},
    }


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def reading(
    document: dict[str, Any], name: str, outcomes: list[Outcome], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """One row a contender, the best on the test last no: in the order they ran."""
    reference = referred(outcomes, options.reference)
    return [row(each, reference, options.seed) for each in outcomes]


def referred(outcomes: list[Outcome], asked: str | None) -> Outcome | None:
    """The named candidate, or the best of Patron's single ones on the validation panel."""
    judged = [each for each in outcomes if each.judgement]
    if asked:
        return next(
            (each for each in judged if each.name.removeprefix(PREFIX) == asked.removeprefix(PREFIX)), None
        )
    single = [each for each in judged if each.name.startswith(PREFIX) and each.name != PREFIX + SHIPPED]
    return max(single or judged, key=lambda each: each.validation, default=None)


def row(outcome: Outcome, reference: Outcome | None, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {"model": outcome.name, "problem": outcome.problem, "settings": outcome.settings}
    if outcome.judgement is None:
        return found
    found |= {"validation_ndcg_at_10": outcome.validation, **outcome.facts, **outcome.judgement.metrics}
    if reference is not None and reference.judgement is not None:
        gap = difference(outcome.judgement, reference.judgement, seed)
        found |= {"reference": reference.name, "difference": [gap.value, gap.low, gap.high]}
    return found


def close(document: dict[str, Any]) -> None:
    """Print everything."""
    from rich.console import Console

    out = Console(width=160)
    facts, split, options = document["data"], document["protocol"], document["options"]
    versions = ", ".join(f"{name} {found}" for name, found in document["versions"].items())
    out.print(f"Machine: {document['machine']}; {versions}", highlight=False)
    out.print(
        f"Data: {facts['name']}, {facts['lines']:,} lines, {facts['customers']:,} customers, "
        f"{facts['products']:,} products, sha256 {facts['sha256']}", highlight=False
    )  # fmt: skip
    asked = ", ".join(f"{count:,} customers ({name})" for name, count in split["customers_asked"].items())
    out.print(
        f"Protocol: {split['name']}; fitted on {split['fitted_on_lines']:,} lines, {split['products']:,} products "
        f"ranked, asked about {asked}; {options['threads']} threads, seed {options['seed']}", highlight=False
    )  # fmt: skip
    for name, title in READINGS.items():
        if name in document:
            out.print(drawn(title, name, document[name]))
    for each in document["notes"]:
        out.print(each, highlight=False)


def drawn(title: str, name: str, rows: list[dict[str, Any]]) -> Any:
    measures = COLUMNS | (APART if name == "repeats" else {})
    reference = next((each["reference"] for each in rows if "reference" in each), "")
    columns = ["model", "fit s", "MB", "val N@10", *measures.values(), f"N@10 - {reference}"]
    return console.table(title, columns, [cells(each, list(measures)) for each in rows])


def cells(found: dict[str, Any], measures: list[str]) -> list[Any]:
    if found["problem"]:
        return [found["model"], *[None] * (len(measures) + 3), found["problem"]]
    gap = found.get("difference", [math.nan] * 3)
    return [
        found["model"],
        f"{found['fit_seconds']:,.1f}",
        f"{found['memory_mb']:,.0f}",
        *(f"{found[name]:.4f}" for name in ("validation_ndcg_at_10", *measures)),
        "{:+.4f} [{:+.4f}, {:+.4f}]".format(*gap),
    ]

"""The tables on stdout."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from patron import console
from recommending.contenders import PREFIX
from recommending.ours import SHIPPED
from recommending.runner import Outcome
from training.bootstrap import difference

WIDTH = 170
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
    "repeats": "Repeats kept: what was bought before may be recommended, and counts",
    "new": "New products only: what was bought before is masked",
}
LEGEND = (
    "val N@10: on the validation panel, which chose settings and weights. R: recall over min(k, bought). "
    "cov: share of the products shown to anyone. novelty: mean bits of self-information. Fit seconds hold "
    "the import of libraries, MB is the peak of fitting. Brackets: 95% paired bootstrap over customers."
)


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


def rows(outcomes: list[Outcome], options: argparse.Namespace) -> list[dict[str, Any]]:
    reference = referred(outcomes, options.reference)
    return [row(each, reference, options.seed) for each in outcomes]


def referred(outcomes: list[Outcome], asked: str | None) -> Outcome | None:
    """The named candidate, or the best of Patron's single ones on the validation panel."""
    judged = [each for each in outcomes if each.judgement]
    named = [each for each in judged if asked in (each.name, each.name.removeprefix(PREFIX))]
    single = [each for each in judged if each.name.startswith(PREFIX) and each.name != PREFIX + SHIPPED]
    return max(named or single or judged, key=lambda each: each.validation, default=None)


def row(outcome: Outcome, reference: Outcome | None, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {"model": outcome.name, "problem": outcome.problem, "variant": outcome.settings}
    if outcome.judgement is None:
        return found
    found |= {"validation_ndcg_at_10": outcome.validation, **outcome.facts, **outcome.judgement.metrics}
    if reference is not None and reference.judgement is not None:
        gap = difference(outcome.judgement, reference.judgement, seed)
        found |= {"reference": reference.name, "difference": [gap.value, gap.low, gap.high]}
    return found


def show(document: dict[str, Any]) -> None:
    """Print everything."""
    from rich.console import Console

    out = Console(width=WIDTH, highlight=False)
    for line in stated(document):
        out.print(line, markup=False)
    for name, found in document.get("readings", {}).items():
        out.print(drawn(name, found))
        for line in settings(found):
            out.print(line, markup=False)
    if document.get("readings"):
        out.print(LEGEND)
    if document["speed"]:
        out.print(raced(document["speed"], document["options"]["repeats"]))


def stated(document: dict[str, Any]) -> list[str]:
    """Machine, data, protocol."""
    facts, split, options = document["data"], document["protocol"], document["options"]
    versions = ", ".join(f"{name} {found}" for name, found in document["versions"].items())
    asked = ", ".join(f"{count:,} customers for {name}" for name, count in split["customers_asked"].items())
    return [
        f"Machine: {document['machine']}; {versions}",
        f"Data: {facts['name']}, {facts['lines']:,} lines, {facts['customers']:,} customers, "
        f"{facts['products']:,} products, sha256 {facts['sha256']}",
        f"Protocol: {split['name']}; fitted on {split['fitted_on_lines']:,} lines, all of "
        f"{split['products']:,} products ranked, {asked}; {options['threads']} threads, "
        f"seed {options['seed']}, {options['minutes']:g} minutes for each fit of a sequence model",
    ]


def drawn(name: str, found: list[dict[str, Any]]) -> Any:
    measures = COLUMNS | (APART if name == "repeats" else {})
    reference = next((each["reference"] for each in found if "reference" in each), "")
    columns = ["model", "fit s", "MB", "val N@10", *measures.values(), f"N@10 less that of {reference}"]
    return console.table(READINGS[name], columns, [cells(each, list(measures)) for each in found])


def cells(found: dict[str, Any], measures: list[str]) -> list[Any]:
    if found["problem"]:
        return [found["model"], *[None] * (len(measures) + 3), found["problem"]]
    return [
        found["model"],
        f"{found['fit_seconds']:,.1f}",
        f"{found['memory_mb']:,.0f}",
        *(f"{found[name]:.4f}" for name in ("validation_ndcg_at_10", *measures)),
        "{:+.4f} [{:+.4f}, {:+.4f}]".format(*found["difference"]) if "difference" in found else None,
    ]


def settings(found: list[dict[str, Any]]) -> list[str]:
    """What was chosen of Patron's, and everything that was set of a peer's."""
    lines = []
    for each in found:
        facts = each.get("facts", {})
        ours = each["model"].startswith(PREFIX)
        known = each["variant"] if ours else facts.get("settings", {})
        more = {name: value for name, value in facts.items() if name != "settings"}
        text = ", ".join(f"{name} {value}" for name, value in {**known, **more}.items())
        if text:
            lines.append(f"{each['model']}: {text}")
    return lines


def raced(found: list[dict[str, Any]], repeats: int) -> Any:
    """Seconds of fitting; the ratio says how many times as long the peer takes."""
    lines = [
        [each["ours"], each["peer"], None, None, each["problem"]]
        if "problem" in each
        else [each["ours"], each["peer"], *(f"{value:.2f}" for value in each["median"].values()), ratio(each)]
        for each in found
    ]
    title = f"Speed: seconds of fitting, median of {repeats} in turn, libraries loaded"
    return console.table(title, ["Patron", "peer", "Patron s", "peer s", "peer / Patron"], lines)


def ratio(found: dict[str, Any]) -> str:
    return f"{found['ratio']:.2f}"

"""The tables on stdout."""

from __future__ import annotations

import argparse
import os
import platform
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from patron import console
from recommending.contenders import PREFIX
from recommending.ours import SHIPPED
from recommending.runner import Outcome
from recommending.splits import GLOBAL, LEAVE_ONE_OUT
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
LONG = {"ndcg_at_10": "N@10", "explore_recall_at_10": "explore R@10"}
APART = {"repeat_recall_at_10": "repeat R@10", "explore_recall_at_10": "explore R@10"}
READINGS = {
    "repeats": "Repeats kept: what was bought before may be recommended, and counts",
    "new": "New products only: what was bought before is masked",
}
BEST, BEST_PEER = "the best single candidate", "the best peer"
"""On the validation panel."""
N, EXPLORE = "ndcg_at_10", "explore_recall_at_10"
RIVALS = {
    LEAVE_ONE_OUT: (
        ("sequential-rules", N),
        ("sequence", N),
        ("popularity", N),
        (BEST, N),
        (BEST_PEER, N),
    ),
    GLOBAL: (("popularity", N), ("buy-again", N), (BEST, N), (BEST_PEER, N), ("item-item", EXPLORE)),
}
"""What ships is compared with these."""
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


def comparisons(outcomes: list[Outcome], options: argparse.Namespace, protocol: str) -> list[dict[str, Any]]:
    """What ships against what it has to beat: paired differences over customers."""
    shipped = next((each for each in outcomes if each.name == PREFIX + SHIPPED and each.judgement), None)
    if shipped is None or shipped.judgement is None:
        return []
    found = []
    for name, metric in RIVALS[protocol]:
        other = rival(name, outcomes)
        if other is None:
            continue
        entry: dict[str, Any] = {"other": other.name, "metric": metric, "as": name}
        if other.judgement is None:
            found.append(entry | {"problem": other.problem})
            continue
        one, two = (replace(each.judgement, primary=metric) for each in (shipped, other))
        gap = difference(one, two, options.seed)
        found.append(entry | {"difference": [gap.value, gap.low, gap.high]})
    return found


def rival(name: str, outcomes: list[Outcome]) -> Outcome | None:
    if name == BEST:
        return referred([each for each in outcomes if each.name.startswith(PREFIX)], None)
    if name == BEST_PEER:
        peers = [each for each in outcomes if not each.name.startswith(PREFIX) and each.judgement]
        return max(peers, key=lambda each: each.validation, default=None)
    return next((each for each in outcomes if each.name == PREFIX + name), None)


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
        if document["comparisons"][name]:
            out.print(beside(document["comparisons"][name]))
        for line in settings(found):
            out.print(line, markup=False)
    if document.get("readings"):
        out.print(LEGEND)
    if document["speed"]:
        out.print(raced(document["speed"]))


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


def beside(found: list[dict[str, Any]]) -> Any:
    def told(each: dict[str, Any]) -> list[Any]:
        name = each["other"] if each["as"] not in (BEST, BEST_PEER) else f"{each['other']}, {each['as']}"
        if "problem" in each:
            return [name, LONG[each["metric"]], None, None, each["problem"]]
        gap, low, high = each["difference"]
        verdict = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
        return [name, LONG[each["metric"]], f"{gap:+.4f}", f"[{low:+.4f}, {high:+.4f}]", verdict]

    columns = ["what ships less", "in", "difference", "95% interval", ""]
    return console.table(f"{PREFIX}{SHIPPED} beside others", columns, [told(each) for each in found])


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
        ships = each["model"] == PREFIX + SHIPPED
        known = {} if ships else each["variant"] if ours else facts.get("settings", {})
        more = {name: value for name, value in facts.items() if name != "settings"}
        if "candidate_ceiling" in each:
            more["candidate_ceiling"] = f"{each['candidate_ceiling']:.4f}"
        text = ", ".join(f"{name} {value}" for name, value in {**known, **more}.items())
        if text:
            lines.append(f"{each['model']}: {text}")
    return lines


def raced(found: list[dict[str, Any]]) -> Any:
    """The ratio says how many times as long Patron takes."""
    lines = [
        [each["ours"], each["peer"], same(each), None, None, None, each["problem"]]
        if "problem" in each
        else [
            each["ours"],
            each["peer"],
            same(each),
            each["rounds"],
            *(f"{value:.2f}" for value in each["median"].values()),
            f"{each['ratio']:.2f}",
        ]
        for each in found
    ]
    title = "Speed: median seconds of fits in turn, without start and imports"
    return console.table(
        title, ["Patron", "peer", "settings", "rounds", "Patron s", "peer s", "Patron / peer"], lines
    )


def same(found: dict[str, Any]) -> str:
    """What both were asked for alike."""
    mine, theirs = found["settings"]
    return ", ".join(f"{name} {value:g}" for name, value in mine.items() if theirs.get(name) == value)

"""How long Patron's fits take beside a peer's with the same settings: in turn, each warmed up, medians."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from patron.models.base import Interactions
from recommending import stored
from recommending.contenders import PREFIX, contenders
from recommending.runner import ChildFailed, Contender, Runner
from recommending.splits import Fold

ALL = 1_000_000
PAIRS: tuple[tuple[str, dict[str, Any], str, dict[str, Any]], ...] = (
    (
        "als",
        {"factors": 64, "iterations": 15, "regularization": 0.05},
        "implicit ALS",
        {"factors": 64, "iterations": 15, "regularization": 0.05},
    ),
    ("ease", {"regularization": 100.0, "products": ALL}, "RecTools EASE", {"regularization": 100.0}),
)
WARM_PRODUCTS = 300
"""Purchases of so many are fitted first, so that libraries are loaded and threads have started."""


def measured(runner: Runner, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One entry a pair. Both are fitted `repeats` times in turn, on all products; only fits are timed."""
    if options.repeats < 1 or not options.peers:
        return []
    takes_part = {each.name: each for each in contenders(options, {}, runner)}
    pairs = [each for each in PAIRS if {PREFIX + each[0], each[2]} <= set(takes_part)]
    if not pairs:
        return []
    warm = warmup(runner)
    return [
        raced(runner, takes_part[PREFIX + ours], mine, takes_part[peer], theirs, options.repeats, warm)
        for ours, mine, peer, theirs in pairs
    ]


def warmup(runner: Runner) -> Path:
    """Purchases of a few products: the cost of some models grows with products, not with lines."""
    fold, folder = runner.folds["test"], runner.scratch / "warm"
    lines = few(fold.interactions)
    stored.write(Fold("warm", lines, fold.catalogue.aligned(lines.product_ids), {}), folder)
    return folder


def few(lines: Interactions) -> Interactions:
    kept = lines.product < WARM_PRODUCTS
    names = ("customer", "order", "product", "at") + (("price",) if lines.price is not None else ())
    cut = {name: getattr(lines, name)[kept] for name in names}
    return replace(lines, product_ids=lines.product_ids[:WARM_PRODUCTS], **cut)


def raced(
    runner: Runner,
    ours: Contender,
    mine: dict[str, Any],
    peer: Contender,
    theirs: dict[str, Any],
    repeats: int,
    warm: Path,
) -> dict[str, Any]:
    found: dict[str, Any] = {"ours": ours.name, "peer": peer.name, "settings": [mine, theirs]}
    seconds: dict[str, list[float]] = {ours.name: [], peer.name: []}
    try:
        for _ in range(repeats):
            for each, settings in ((ours, mine), (peer, theirs)):
                if each.problem:
                    raise ChildFailed(f"{each.name}: {each.problem}")
                facts, _ = runner.child(each, settings, (), (), warm)
                seconds[each.name].append(facts["fit_seconds"])
    except ChildFailed as error:
        return {**found, "problem": str(error)}
    middle = {name: median(each) for name, each in seconds.items()}
    return {
        **found,
        "seconds": seconds,
        "median": middle,
        "ratio": middle[peer.name] / np.maximum(middle[ours.name], 1e-9),
    }

"""How long Patron's fits take beside a peer's with the same settings: in turn, each warmed up, medians."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from patron import console
from patron.models.base import Interactions
from recommending import stored
from recommending.contenders import PREFIX, contenders
from recommending.runner import ChildFailed, Contender, Runner, Settings
from recommending.splits import Fold

ALL = 1_000_000
WARM_PRODUCTS = 300
"""Purchases of so many are fitted first, so that libraries are loaded and threads have started."""
MOST_PRODUCTS = 20_000
"""With more, fits in turn take too long."""
LONG_PRODUCTS = 5_000
"""With more, what grows with the cube of them is fitted once."""


@dataclass(frozen=True)
class Pair:
    """A candidate and a peer, with settings that ask the same of both."""

    ours: str
    mine: Settings
    peer: str
    theirs: Settings
    cubic: bool = False
    """Time grows with the cube of products."""

    def rounds(self, products: int, repeats: int) -> int:
        return 1 if self.cubic and products > LONG_PRODUCTS else repeats


def factorised(factors: int) -> Pair:
    shared = {"factors": factors, "iterations": 15, "alpha": 3.0}
    mine = {**shared, "regularization": 0.1, "regularization_exponent": 1.0}
    return Pair("als", mine, "implicit ALS", {**shared, "regularization": 5.0})


PAIRS = (
    factorised(64),
    factorised(128),
    Pair(
        "ease",
        {"regularization": 100.0, "products": ALL, "fit_half_life_days": 0.0},
        "RecTools EASE",
        {"regularization": 100.0},
        cubic=True,
    ),
)


def measured(runner: Runner, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One entry a pair. Both are fitted in turn on all products; only fits are timed."""
    if options.repeats < 1 or not options.peers:
        return []
    products = len(runner.folds["test"].interactions.product_ids)
    if products > MOST_PRODUCTS:
        console.note(
            f"No speed section: {products:,} products, and fits in turn of {MOST_PRODUCTS:,} at most"
        )
        return []
    takes_part = {each.name: each for each in contenders(options, {}, runner)}
    pairs = [each for each in PAIRS if {PREFIX + each.ours, each.peer} <= set(takes_part)]
    if not pairs:
        return []
    warm = warmup(runner)
    return [
        raced(
            runner,
            (takes_part[PREFIX + each.ours], each.mine),
            (takes_part[each.peer], each.theirs),
            each.rounds(products, options.repeats),
            warm,
        )
        for each in pairs
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
    ours: tuple[Contender, Settings],
    peer: tuple[Contender, Settings],
    rounds: int,
    warm: Path,
) -> dict[str, Any]:
    """ratio: the median seconds of ours over those of the peer."""
    names = ours[0].name, peer[0].name
    found = {"ours": names[0], "peer": names[1], "settings": [ours[1], peer[1]], "rounds": rounds}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    try:
        for _ in range(rounds):
            for each, settings in (ours, peer):
                if each.problem:
                    raise ChildFailed(f"{each.name}: {each.problem}")
                facts, _ = runner.child(each, settings, (), (), warm)
                seconds[each.name].append(facts["fit_seconds"])
    except ChildFailed as error:
        return {**found, "problem": str(error)}
    middle = {name: median(each) for name, each in seconds.items()}
    ratio = middle[names[0]] / np.maximum(middle[names[1]], 1e-9)
    return {**found, "seconds": seconds, "median": middle, "ratio": ratio}

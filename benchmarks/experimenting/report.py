"""Measures, prints tables and bars, and says which bar was missed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from customer_models.machine import told
from rich.console import Console

from experimenting.shops import Shop, real, simulated
from experimenting.trials import Looked, arms_of, costs, looked_at, ratio_looks, shuffled
from patron import console

EFFECTS = (0.05, 0.1, 0.2, 0.3)
LOST = (0.02, 0.05, 0.1, 0.2)
RATES = ("found", "found_without_cuped", "peeked", "once")
BESIDE = ("found_without_cuped", "once", "missed_truth")


def run(options: argparse.Namespace) -> int:
    out = Console(width=150)
    found = measured(options)
    show(found, out)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if all(each["reached"] for each in found["bars"]) else 1


def measured(options: argparse.Namespace) -> dict[str, Any]:
    equal = [equal_arms(options, None), *(equal_arms(options, shop) for shop in real(options.data))]
    effects = [true_effect(options, each) for each in EFFECTS]
    ratios = [ratio(options, each) for each in (0.0, *LOST)]
    found = {
        "machine": told(),
        "protocol": {"tests": options.tests, "days": options.days, "units": options.units, "alpha": 0.05},
        "equal_arms": equal,
        "true_effects": effects,
        "sample_ratio": ratios,
        "microseconds": costs(),
    }
    return found | {"bars": bars(found)}


def equal_arms(options: argparse.Namespace, shop: Shop | None) -> dict[str, Any]:
    """A/A tests: the same customers under a new draw each time, or new ones of the simulated shop."""
    console.note(f"Equal arms: {shop.name if shop else 'simulated'}")
    looks = []
    for test in range(options.tests):
        rng = np.random.default_rng(test)
        here = shuffled(shop, test) if shop else simulated(rng, options.units)
        arm = arms_of(f"equal-{test}", len(here.outcome))
        looks.append(looked_at(here, arm, options.days))
    return {"shop": here.name, "units": len(here.outcome)} | rates(looks)


def true_effect(options: argparse.Namespace, effect: float) -> dict[str, Any]:
    console.note(f"A true effect of {effect:.0%}")
    looks = []
    for test in range(options.tests):
        here = simulated(np.random.default_rng(10_000 + test), options.units)
        arm = arms_of(f"effect-{test}", options.units)
        looks.append(looked_at(here, arm, options.days, effect))
    days = [each.found for each in looks if each.found]
    return {"effect": effect, "median_day": float(np.median(days)) if days else None} | rates(looks)


def rates(looks: Sequence[Looked]) -> dict[str, float]:
    """Shares of the tests."""
    return {
        "found": share([each.found is not None for each in looks]),
        "found_without_cuped": share([each.plain is not None for each in looks]),
        "peeked": share([each.peeked is not None for each in looks]),
        "once": share([each.once for each in looks]),
        "missed_truth": share([each.missed for each in looks]),
        "variance_reduction": float(np.mean([each.reduction for each in looks])),
    }


def ratio(options: argparse.Namespace, lost: float) -> dict[str, Any]:
    console.note(f"Sample ratio with {lost:.0%} of an arm lost")
    looks = [
        ratio_looks(f"ratio-{test}", lost, options.units, options.days, test) for test in range(options.tests)
    ]
    ours, chi = zip(*looks, strict=True)
    return {"lost": lost, "called": share(ours), "chi_square_peeked": share(chi)}


def share(flags: Sequence[bool]) -> float:
    return float(np.mean(flags))


def bars(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What was asked for, and what was reached."""
    told = [
        bar(f"equal arms, {each['shop']}: a difference is found in", each["found"], "at most", 0.05)
        for each in found["equal_arms"]
    ]
    shop, sound = found["equal_arms"][0], found["sample_ratio"][0]
    return [
        *told,
        bar("the test made for one look, looked at daily, in", shop["peeked"], "at least", 0.1),
        bar("an effect of 30% is found in", found["true_effects"][-1]["found"], "at least", 0.8),
        bar("sound ratios called mismatched", sound["called"], "at most", 0.01),
        bar("a fifth of an arm lost is called so in", found["sample_ratio"][-1]["called"], "at least", 0.95),
    ]


def bar(text: str, value: float, kind: str, bound: float) -> dict[str, Any]:
    reached = value <= bound if kind == "at most" else value >= bound
    return {"text": text, "value": value, "bar": f"{kind} {bound:.0%}", "reached": reached}


def show(found: dict[str, Any], out: Console) -> None:
    out.print(found["machine"])
    asked = found["protocol"]
    out.print(f"{asked['tests']} tests of each kind, {asked['days']} looks each, level 5%")
    columns = [
        "shop",
        "customers",
        "sequence + CUPED",
        "sequence",
        "one-look test, daily",
        "one look",
        "CUPED",
    ]
    rows = [
        [each["shop"], each["units"], *percents(each, *RATES), f"-{each['variance_reduction']:.0%}"]
        for each in found["equal_arms"]
    ]
    out.print(
        console.table("Equal arms: tests that find a difference; variance less by CUPED", columns, rows)
    )
    columns = [
        "effect",
        "sequence + CUPED",
        "median day",
        "sequence",
        "one look at the end",
        "truth ever left",
    ]
    rows = [
        [*percents(each, "effect", "found"), each["median_day"], *percents(each, *BESIDE)]
        for each in found["true_effects"]
    ]
    out.print(console.table("True effects on the simulated shop: tests that find it", columns, rows))
    columns = ["lost of an arm", "called mismatched", "chi-square, daily"]
    rows = [
        [f"{each['lost']:.0%}", *percents(each, "called", "chi_square_peeked")]
        for each in found["sample_ratio"]
    ]
    out.print(console.table("Sample ratio, at level 1%", columns, rows))
    cost = [[name, f"{value:.2f}"] for name, value in found["microseconds"].items()]
    out.print(console.table("Asking for an arm", ["", "microseconds"], cost))
    for each in found["bars"]:
        mark = "reached" if each["reached"] else "MISSED"
        out.print(f"{mark}: {each['text']} {each['value']:.1%} ({each['bar']})", highlight=False)


def percents(row: dict[str, Any], *names: str) -> list[str]:
    return [f"{row[name]:.1%}" for name in names]

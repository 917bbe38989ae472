"""CDNOW: buy-till-you-die models beside the published fits and the peers' own, fitted in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from customer_models.machine import HERE, environment
from patron import console
from patron.models.btyd import BGNBD, MBGNBD, GammaGamma, ParetoNBD
from training import metrics

FILE = "cdnow_sample.txt"
END, WEEK, HELD_OUT_WEEKS = np.datetime64("1997-09-30"), 7.0, 39
PEERS = ("lifetimes", "pymc-marketing")
REPEATS = 3
"""Fits of a model in one process, after one that is not timed."""
SLOW = ("pymc-marketing",)
"""Asked in one round only, for one fit of each model: it takes seconds, and compiles before."""
MINUTES = 15
"""For one process of a peer."""
NO_BTYD = "needs Python below 3.10; the one release without that bound cannot be imported on Python 3.11"
FAMILIES: dict[str, Any] = {
    "BG/NBD": BGNBD,
    "MBG/NBD": MBGNBD,
    "Pareto/NBD": ParetoNBD,
    "Gamma-Gamma": GammaGamma,
}
PUBLISHED = {
    "BG/NBD": ({"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}, -9582.4),
    "Pareto/NBD": ({"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669}, -9595.0),
    "Gamma-Gamma": ({"p": 6.25, "q": 3.74, "v": 15.44}, None),
}
"""Parameters and log-likelihood. Source: Fader, Hardie & Lee 2005."""

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Contender:
    name: str
    module: str
    python: str = sys.executable
    problem: str = ""


def measured(folder: Path, scratch: Path, rounds: int, peers: bool) -> dict[str, Any]:
    """{"data", "fits", "holdout", "skipped"}."""
    path = folder / FILE
    cohort = read(path)
    np.savez(scratch / "cdnow.npz", allow_pickle=False, **cohort)
    who = contenders(peers)
    found: dict[str, list[dict[str, Any]]] = {each.name: [] for each in who}
    skipped = {"btyd": NO_BTYD} if peers else {}
    for turn in range(rounds):
        for each in who:
            if turn and each.name in SLOW:
                continue
            console.note(f"CDNOW, round {turn + 1} of {rounds}: {each.name}")
            answer = asked(each, scratch)
            if "problem" in answer:
                skipped[each.name] = answer["problem"]
            else:
                found[each.name].append(answer)
    fits = [row for name, answers in found.items() if answers for row in rows(name, answers, cohort)]
    for row in fits:
        row["ratio"] = ratios(row, fits)
    held = [judged("the same count again", "", cohort["x"], cohort)]
    held += [
        judged(row["family"], row["by"], row.pop("expected"), cohort) for row in fits if "expected" in row
    ]
    facts = {"name": path.name, "customers": len(cohort["x"]), "repeated": int((cohort["x"] > 0).sum())}
    return {"data": facts, "fits": fits, "holdout": held, "skipped": skipped, "rounds": rounds}


def contenders(peers: bool) -> list[Contender]:
    """Patron first; each peer with its Python, or why it has none."""
    from recommending.environment import ready

    ours = [Contender("Patron", "customer_models.our_fits")]
    if not peers:
        return ours
    python, problem = ready("customers")
    modules = ("customer_models.lifetimes_fits", "customer_models.pymc_fits")
    found = zip(PEERS, modules, strict=True)
    return ours + [Contender(name, module, python or "", problem) for name, module in found]


def asked(contender: Contender, scratch: Path) -> dict[str, Any]:
    """What `timed` measured in a process of the contender's, or {"problem"}."""
    if contender.problem:
        return {"problem": contender.problem}
    out = scratch / "fits.json"
    out.unlink(missing_ok=True)
    repeats = 1 if contender.name in SLOW else REPEATS
    given = [contender.module, str(scratch / "cdnow.npz"), str(HELD_OUT_WEEKS), str(repeats), str(out)]
    command = [contender.python, "-W", "ignore", "-m", "customer_models.timed", *given]
    try:
        ended = subprocess.run(command, env=environment(), cwd=HERE, stdout=sys.stderr, timeout=60 * MINUTES)
    except subprocess.TimeoutExpired:
        return {"problem": f"not done in {MINUTES} minutes"}
    if not out.is_file():
        return {"problem": f"its process ended with {ended.returncode}"}
    answer: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return answer


def read(path: Path) -> Columns:
    """x, t_x, T in weeks, mean repeat spend, and repeat days held out. Purchases of one day are one."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    buys: dict[str, dict[np.datetime64, float]] = {}
    for customer, _, day, _, dollars in lines:
        date = np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}")
        days = buys.setdefault(customer, {})
        days[date] = days.get(date, 0.0) + float(dollars)
    made = np.array([summary(days) for days in buys.values()])
    return dict(zip(("x", "t_x", "T", "mean", "held"), made.T.copy(), strict=True))


def summary(days: dict[np.datetime64, float]) -> tuple[float, ...]:
    past = sorted(day for day in days if day <= END)
    ages = [float((day - past[0]).astype(int)) / WEEK for day in [*past, END]]
    spent = [days[day] for day in past[1:]]
    mean = float(np.mean(spent)) if spent else float("nan")
    return len(spent), ages[-2], ages[-1], mean, len(days) - len(past)


def rows(name: str, answers: list[dict[str, Any]], cohort: Columns) -> list[dict[str, Any]]:
    """A row for each model of one contender: parameters, and seconds over all rounds."""
    found = []
    for family, fit in answers[-1]["fits"].items():
        if "problem" in fit:
            found.append({"family": family, "by": name, "problem": fit["problem"]})
            continue
        row = {"family": family, "by": name, "version": answers[-1]["version"], **fit}
        del row["expected"]
        for clock in ("cpu", "wall"):
            row[clock] = median(seconds for each in answers for seconds in each["fits"][family][clock])
        found.append(row | compared(family, fit, cohort))
    return found


def compared(family: str, fit: dict[str, Any], cohort: Columns) -> dict[str, Any]:
    """The log-likelihood by our formula, the distance to what was published, and the forecast."""
    parameters, log_likelihood = PUBLISHED.get(family, ({}, None))
    model = FAMILIES[family](**fit["parameters"])
    found: dict[str, Any] = {"log_likelihood": log_likelihood_of(model, cohort)}
    if parameters:
        found["off"] = max(abs(fit["parameters"][name] - value) for name, value in parameters.items())
    if log_likelihood is not None:
        found["log_likelihood_off"] = abs(found["log_likelihood"] - log_likelihood)
    if isinstance(model, GammaGamma):
        return found
    expected = fit.get("expected")
    if expected is None:
        expected = model.expected_purchases(HELD_OUT_WEEKS, cohort["x"], cohort["t_x"], cohort["T"])
    return found | {"expected": np.asarray(expected)}


def log_likelihood_of(model: Any, cohort: Columns) -> float:
    if isinstance(model, GammaGamma):
        some = cohort["x"] > 0
        return float(model.log_likelihoods(cohort["x"][some], cohort["mean"][some]).sum())
    return float(model.log_likelihoods(cohort["x"], cohort["t_x"], cohort["T"]).sum())


def ratios(row: dict[str, Any], fits: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of Patron's fit of the same model over those of this one."""
    ours = next(each for each in fits if each["by"] == "Patron" and each["family"] == row["family"])
    if "cpu" not in row or row is ours:
        return {}
    return {clock: ours[clock] / row[clock] for clock in ("cpu", "wall")}


def judged(family: str, by: str, expected: NDArray[np.float64], cohort: Columns) -> dict[str, Any]:
    """The forecast of the 39 weeks against what was bought in them."""
    held = cohort["held"]
    return {
        "family": family,
        "by": by,
        "mae": metrics.mae(held, expected),
        "rmse": metrics.rmse(held, expected),
        "correlation": float(np.corrcoef(held, expected)[0, 1]),
        "gini": metrics.gini(held, expected),
        "bias": metrics.total_bias(held, expected),
    }

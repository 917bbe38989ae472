"""The read-out of an experiment: are its arms sound, what is different, what may be concluded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np

from patron.experiments import outcomes
from patron.experiments.assignment import FOLDER, Experiments
from patron.experiments.comparison import Comparison, compare, cuped
from patron.experiments.design import history, moved, retreated
from patron.experiments.exposures import Exposure, ExposureLog
from patron.experiments.outcomes import Outcomes
from patron.experiments.sample_ratio import sample_ratio
from patron.experiments.terms import LESS_IS_BETTER, OF_ANSWERS, OF_ORDERS, Experiment
from patron.settings import Settings

Role = Literal["decides", "guardrail", "beside"]


@dataclass(frozen=True)
class Question:
    """A metric in a role. `tolerated`: share of the control's mean, of a guardrail. `alpha`: of each arm."""

    metric: str
    role: Role
    alpha: float
    tolerated: float = 0.0


def listed(settings: Settings, now: datetime) -> list[dict[str, Any]]:
    """Every experiment that is configured, or was once and exposed somebody."""
    known = Experiments.load(settings.configs / FOLDER).known
    log = ExposureLog(settings.events)
    try:
        counts = log.counts()
    finally:
        log.close()
    rows = [told(each, now) | exposed(counts.get(name, {})) for name, each in sorted(known.items())]
    gone = [
        {"name": name, "state": "removed"} | exposed(counts[name])
        for name in sorted(set(counts) - set(known))
    ]
    return rows + gone


def told(experiment: Experiment, now: datetime) -> dict[str, Any]:
    """What its file says."""
    return {
        "name": experiment.name,
        "description": experiment.description,
        "target": experiment.target,
        "state": experiment.state(now),
        "starts_at": experiment.starts_at,
        "ends_at": experiment.ends_at,
        "layer": experiment.of_layer,
        "arms": {each.name: each.share for each in experiment.arms},
        "metrics": list(experiment.metrics),
    }


def exposed(counts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How many units were exposed, and since when."""
    moments = [each["first"] for each in counts.values()]
    return {
        "units": {arm: each["units"] for arm, each in counts.items()},
        "first_exposure_at": min(moments) if moments else None,
    }


def read_out(settings: Settings, name: str, now: datetime) -> dict[str, Any]:
    """The report of one experiment, as of what the lake holds. Raises ConfigurationError for an unknown name.

    {"sample_ratio", "arms", "metrics": [one entry a metric and treated arm], "conclusion": [sentences], ...}.
    """
    experiment = Experiments.load(settings.configs / FOLDER).named(name)
    log = ExposureLog(settings.events)
    try:
        exposures, answers = log.of(name), log.answers(name)
    finally:
        log.close()
    asked = questions(experiment)
    empty = outcomes.nothing((), 0)
    orders = answered = empty
    if any(each.metric in OF_ORDERS for each in asked):
        orders = outcomes.of_orders(settings, experiment, exposures)
    if any(each.metric in OF_ANSWERS for each in asked):
        answered = outcomes.of_answers(settings, experiment, exposures, answers)
    rows = [row for each in asked for row in rows_of(experiment, each, orders, answered)]
    designs = history((each.design for each in exposures), experiment.design)
    document = told(experiment, now) | {
        "exposed": len(exposures),
        "sample_ratio": ratio_of(experiment, exposures),
        "window_days": experiment.window_days,
        "pre_days": experiment.pre_days,
        "alpha": experiment.alpha,
        "orders_until": orders.until,
        "events_until": answered.until,
        "waiting": {"orders": orders.waiting, "answers": answered.waiting},
        "results": rows,
        "changed": retreated(designs),
        "moved": moved(designs),
    }
    return document | {"conclusion": conclusion(experiment, document)}


def questions(experiment: Experiment) -> list[Question]:
    """What decides shares the error level among metrics and treated arms (Bonferroni); guardrails do not.

    A guardrail can only stop, so that many of them make no false discovery: each keeps the whole level.
    """
    arms = len(experiment.arms) - 1
    decides = experiment.alpha / (arms * len(experiment.metrics))
    found = [Question(each, "decides", decides) for each in experiment.metrics]
    found += [
        Question(each.metric, "guardrail", experiment.alpha, each.tolerated) for each in experiment.guardrails
    ]
    return found + [Question(each, "beside", experiment.alpha / arms) for each in experiment.also]


def ratio_of(experiment: Experiment, exposures: Sequence[Exposure]) -> dict[str, Any]:
    """Units by arm against the configured shares, of all that were exposed."""
    counts = [sum(each.arm == arm.name for each in exposures) for arm in experiment.arms]
    found = asdict(sample_ratio(counts, experiment.shares))
    names = [each.name for each in experiment.arms]
    return found | {
        "counts": dict(zip(names, counts, strict=True)),
        "expected": dict(zip(names, (round(each, 1) for each in found["expected"]), strict=True)),
    }


def rows_of(
    experiment: Experiment, question: Question, orders: Outcomes, answered: Outcomes
) -> list[dict[str, Any]]:
    """A row for each treated arm."""
    found = orders if question.metric in OF_ORDERS else answered
    raw, before = found.values[question.metric], found.before.get(question.metric)
    if not len(raw):
        return []
    adjusted = cuped(raw, before, found.arm)
    compared = compare(
        adjusted.outcome,
        found.arm,
        len(experiment.arms),
        alpha=question.alpha,
        planned=experiment.planned_units,
        least=experiment.least_units,
    )
    control = raw[found.arm == 0]
    base = float(control.mean()) if len(control) else float("nan")
    return [row_of(experiment, question, each, base, len(control), adjusted.reduction) for each in compared]


def row_of(
    experiment: Experiment,
    question: Question,
    found: Comparison,
    base: float,
    control_units: int,
    reduction: float,
) -> dict[str, Any]:
    """One comparison as the report tells it: numbers that are not known are None."""
    interval = found.interval
    row = {
        "metric": question.metric,
        "role": question.role,
        "arm": experiment.arms[found.arm].name,
        "units": found.units,
        "control_units": control_units,
        "control_mean": base,
        "difference": found.difference,
        "relative": found.difference / abs(base) if base else None,
        "low": interval and interval.low,
        "high": interval and interval.high,
        "p_value": interval and interval.p_value,
        "alpha": question.alpha,
        "variance_reduction": reduction,
    }
    row["verdict"] = verdict(question, row)
    return {name: known(value) for name, value in row.items()}


def known(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def verdict(question: Question, row: dict[str, Any]) -> str:
    """better, worse, undecided; of a guardrail: holds, breached, undecided; too_few where nothing is said."""
    if row["low"] is None:
        return "too_few"
    low, high = row["low"], row["high"]
    if question.metric in LESS_IS_BETTER:
        low, high = -high, -low
    if question.role == "guardrail":
        least = -question.tolerated * abs(row["control_mean"])
        if high < least:
            return "breached"
        return "holds" if low >= least else "undecided"
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def conclusion(experiment: Experiment, document: dict[str, Any]) -> list[str]:
    """What to make of it, the gravest first."""
    ratio, rows = document["sample_ratio"], document["results"]
    if not document["exposed"]:
        return [f"Nobody was exposed yet: the experiment is {document['state']}."]
    said = []
    if ratio["mismatch"]:
        said.append(
            "The arms do not have the units that their shares ask for "
            f"(p = {ratio['p_value']:.2g}, valid at every look): something loses units of an arm, and no "
            "difference below can be trusted. Find the cause first."
        )
    if document["changed"]:
        said.append(
            "Arms, their ratio or their parameters were changed after the first exposure: some units changed "
            "their treatment. Start a new experiment under another name."
        )
    if document["moved"]:
        said.append(
            "Target, layer, begins_at, shares or units were changed after the first exposure: some exposed "
            "units lost their arm. Start a new experiment under another name."
        )
    for arm in experiment.arms[1:]:
        said.append(sentence(arm.name, [each for each in rows if each["arm"] == arm.name], bool(said)))
    return said


def sentence(arm: str, rows: Sequence[dict[str, Any]], unsound: bool) -> str:
    """What is known of one arm."""
    by = {
        name: [each["metric"] for each in rows if each["verdict"] == name and each["role"] != "beside"]
        for name in ("breached", "worse", "better", "undecided", "too_few")
    }
    if unsound:
        return f"{arm}: no conclusion."
    if not rows or by["too_few"]:
        return f"{arm}: too few units have had their whole window yet; nothing is concluded."
    if by["breached"]:
        return f"{arm}: stop it. {', '.join(by['breached'])} got worse by more than is tolerated."
    if by["worse"]:
        return f"{arm}: worse than the control in {', '.join(by['worse'])}."
    if by["better"]:
        open_ = [
            each["metric"] for each in rows if each["role"] == "guardrail" and each["verdict"] == "undecided"
        ]
        also = f" It is not shown yet that {', '.join(open_)} held." if open_ else ""
        return f"{arm}: better than the control in {', '.join(by['better'])}.{also}"
    return f"{arm}: undecided. Wait for more units, or end it: no difference is shown."

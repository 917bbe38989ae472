"""One training run: fit the candidates, judge them, pass the gate, record everything, promote."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from features.build import data_hash
from patron.artifacts import MANIFEST, seal
from patron.errors import ArtifactError
from patron.files import publish_json, sha256
from patron.lake.tables import Lake
from patron.models.base import Model, class_path, open_model
from patron.models.drift import FILE
from training import quality, registry, tracking
from training.bootstrap import Interval, Judgement, difference, intervals
from training.card import card
from training.gate import Verdict, limits
from training.job import Job

Say = Callable[[str], None]


@dataclass
class Judged:
    """The chosen candidate's judged twin beside its rivals."""

    kind: str
    model: Model
    judgement: Judgement
    measured: dict[str, Interval]
    others: dict[str, dict[str, float]]
    """Candidate -> its metrics on the same window."""
    validation: dict[str, float]
    verdict: Verdict
    unchanged: bool
    """The champion is what this run would make."""


def train(job: Job, say: Say = lambda what: None) -> dict[str, Any]:
    """Run a job to its end and return what happened, as the command prints it.

    The champion stays when the gate refuses; `outcome` is then `refused`. Where the champion came of the same
    data and recipe, and answers as this code does, the outcome is `unchanged`.
    """
    settings = job.settings
    job.say = say
    event_log = Lake(settings.lake).facts().get("event_log")
    with (
        tempfile.TemporaryDirectory(prefix="patron-") as scratch,
        tracking.run(settings, job.name, f"{job.short} {datetime.now(UTC):%Y-%m-%d %H:%M}") as run_id,
    ):
        folder = Path(scratch)
        champion = champion_twin(job, folder, say)
        judged = judge(job, champion, say)
        say(f"Fitting {judged.kind} with the last window included")
        shipped = job.fit(judged.kind, shipped=True)
        facts = {
            "name": job.name,
            "version": run_id,
            "trained_at": datetime.now(UTC),
            "data_hash": data_hash(settings),
            "features": job.references(shipped),
            "parameters": {"kind": judged.kind, **parameters(shipped)},
            "event_log": event_log,
        }
        say("Comparing features and scores with those of the fit")
        reference, drift = quality.follow(job, shipped)
        for part, model, cutoff in (
            ("shipped", shipped, job.cutoff),
            ("evaluated", judged.model, job.test),
        ):
            (folder / part).mkdir()
            model.save(folder / part)
            if reference is not None and model is shipped:
                publish_json(folder / part / FILE, reference)
            seal(folder / part, model=class_path(model), cutoff=cutoff, **facts)
        say("Recording the run")
        version = record(job, judged, folder, run_id, facts)
        checked = quality.record(job, drift)
        outcome = settle(job, judged, version)
    result = finite(report(job, judged, run_id, version, outcome) | {"quality": checked})
    result["warnings"] += quality.said(checked)
    publish_json(settings.reports / f"train-{job.short}.json", result)
    return result


@dataclass(frozen=True)
class Twin:
    """The champion's judged twin, when it is of this lake and saw nothing of the test window."""

    version: str
    model: Model
    tags: dict[str, Any]


def champion_twin(job: Job, scratch: Path, say: Say) -> Twin | None:
    """The champion to beat. None, and said why, where it cannot be judged on this window."""
    version = tracking.alias_version(job.settings, job.name, tracking.CHAMPION)
    if version is None:
        return None
    tags = tracking.version_tags(job.settings, job.name, version)
    if tags.get("lake_id") != str(Lake(job.settings.lake).facts()["lake_id"]):
        say(f"Champion {version} is of another lake; it is not compared.")
        return None
    try:
        folder = tracking.fetched(job.settings, job.name, version, "evaluated", scratch / "champion")
        model, manifest = open_model(folder)
    except ArtifactError as error:
        say(f"Champion {version} cannot be judged: {error}")
        return None
    if manifest.cutoff > job.test:
        say(f"Champion {version} saw data after {job.test:%Y-%m-%d}; it is not compared.")
        return None
    return Twin(version, model, tags)


def recipe(job: Job) -> str:
    """Hash of all that decides what a job makes, the code apart."""
    import hashlib
    import json

    found = {
        "data": data_hash(job.settings),
        "config": job.config()[1].model_dump(),
        "rules": job.rules(),
        "limits": limits(job.settings.configs, job.short).model_dump(),
        "seed": job.settings.seed,
        "horizon_days": job.horizon_days,
        "cutoff": job.cutoff,
        "test": job.test,
    }
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()


def same_again(
    job: Job, champion: Twin | None, rival: Judgement | None, judgements: dict[str, Judgement]
) -> str | None:
    """The kind of a champion that this job would make again: same recipe, and same answers, which other code
    need not give."""
    if champion is None or rival is None or champion.tags.get("recipe") != recipe(job):
        return None
    kind = str(champion.tags["kind"])
    if kind not in judgements:
        return None
    ours, theirs = (each.metrics[job.primary] for each in (judgements[kind], rival))
    return kind if np.isclose(ours, theirs, rtol=0, atol=1e-9, equal_nan=True) else None


def parameters(model: Model) -> dict[str, Any]:
    """The config of a model as flat parameters."""
    config = getattr(model, "config", None)
    return dict(config.model_dump()) if config is not None else {}


def judge(job: Job, champion: Twin | None, say: Say) -> Judged:
    """Choose before the test window, judge on it, and hold the choice against the baseline and the champion.

    Where the gate refuses and there is no champion yet, the baseline is chosen, and the verdict says so.
    """
    say("Choosing a candidate before the test window")
    kind, validation = job.choose()
    models, judgements = {}, {}
    for each in dict.fromkeys((kind, *job.kinds)):
        say(f"Judging {each} on the last window")
        models[each] = job.fit(each, shipped=False)
        judgements[each] = job.judge(models[each])
    rival = job.judge(champion.model) if champion else None
    same = same_again(job, champion, rival, judgements)
    say("Resampling customers for intervals")
    if same is not None and champion is not None:
        kind = same
        verdict = Verdict(True, [f"Version {champion.version} came of the same data and recipe: it stays."])
    else:
        kind, verdict = passed(job, kind, judgements, rival)
    chosen = judgements[kind]
    others = {name: each.metrics for name, each in judgements.items() if name != kind}
    if rival is not None and champion is not None:
        others[f"champion {champion.version}"] = rival.metrics
    measured = intervals(chosen, job.settings.seed)
    return Judged(kind, models[kind], chosen, measured, others, validation, verdict, same is not None)


def passed(
    job: Job, kind: str, judgements: dict[str, Judgement], rival: Judgement | None
) -> tuple[str, Verdict]:
    """The verdict on a candidate, or on the simpler one where that may be as good.

    Where it is refused and nobody serves yet, the baseline is taken instead.
    """
    kind, told = earned(job, kind, judgements)
    baseline = judgements[job.baseline] if kind != job.baseline else None
    allowed = limits(job.settings.configs, job.short)
    verdict = job.verdict(judgements[kind], baseline, rival, allowed)
    verdict.reasons[:0] = told
    if verdict.passed or rival is not None:
        return kind, verdict
    last = f"No champion to compare with: {job.baseline} ships until something beats it."
    return job.baseline, Verdict(True, [*verdict.reasons, last])


def earned(job: Job, kind: str, judgements: dict[str, Judgement]) -> tuple[str, list[str]]:
    """The candidate, if the paired interval shows it better than the simpler one; else that one; and why."""
    simpler = job.simpler(kind)
    if simpler is None or not judgements[kind].customers:
        return kind, []
    gap = difference(judgements[kind], judgements[simpler], job.settings.seed)
    says = f"{kind}: {job.primary} is {gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) against {simpler}"
    if gap.low > 0:
        return kind, [f"{says}: better."]
    return simpler, [f"{says}: not shown to be better, so {simpler} stands for it."]


def record(job: Job, judged: Judged, folder: Path, run_id: str, facts: dict[str, Any]) -> str:
    """Everything a reviewer looks for, into the run; returns the registered version."""
    import mlflow

    data = job.facts()
    mlflow.log_params({key: str(value)[:500] for key, value in facts["parameters"].items()})
    mlflow.log_params({f"data.{key}": str(value)[:500] for key, value in data.items()})
    mlflow.log_metrics(numbers(judged))
    lake = Lake(job.settings.lake).facts()
    tags = {
        "lake_id": str(lake["lake_id"]),
        "data_hash": facts["data_hash"],
        "recipe": recipe(job),
        "kind": judged.kind,
        "git_commit": tracking.git_commit(),
        "gate": "passed" if judged.verdict.passed else "refused",
        "manifest_sha256": sha256(folder / "shipped" / MANIFEST),
    }
    mlflow.set_tags(
        {**tags, "gate_reasons": "\n".join(judged.verdict.reasons), "sources": str(lake["sources"])}
    )
    for name, figure in job.figures(judged.model).items():
        mlflow.log_figure(figure, f"plots/{name}.png", save_kwargs={"bbox_inches": "tight"})
    if evidence := job.evidence(judged.model):
        mlflow.log_dict(finite(evidence), "evidence.json")
    text = card(
        job.name,
        judged.kind,
        data,
        judged.measured,
        judged.others,
        judged.verdict,
        job.warnings(),
        facts["parameters"],
    )
    mlflow.log_text(text, "model_card.md")
    mlflow.log_artifacts(str(folder / "evaluated"), "evaluated")
    mlflow.log_artifact(str(folder / "shipped" / "manifest.json"))
    version = tracking.register(job.settings, job.name, folder / "shipped", run_id, tags)
    tracking.client(job.settings).update_model_version(job.name, version, description=text[:4000])
    return version


def numbers(judged: Judged) -> dict[str, float]:
    """Metrics with their intervals, and each rival's under its name; what is not a number is left out."""
    found: dict[str, float] = {}
    for metric, each in judged.measured.items():
        found |= {metric: each.value, f"{metric}.low": each.low, f"{metric}.high": each.high}
    for rival, metrics in judged.others.items():
        label = rival.replace(" ", "_")
        found |= {f"{label}.{metric}": value for metric, value in metrics.items()}
    found |= {f"validation.{kind}": value for kind, value in judged.validation.items()}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def settle(job: Job, judged: Judged, version: str) -> str:
    """Promote, or leave the champion where it is: `promoted`, `unchanged` or `refused`."""
    tracker = tracking.client(job.settings)
    tracker.set_registered_model_alias(job.name, tracking.CHALLENGER, version)
    if judged.unchanged:
        return "unchanged"
    if not judged.verdict.passed:
        return "refused"
    registry.promote(job.settings, job.name, version, "; ".join(judged.verdict.reasons) or "first champion")
    return "promoted"


def finite(document: Any) -> Any:
    """The document with None for what JSON cannot say: NaN and infinities."""
    if isinstance(document, dict):
        return {key: finite(value) for key, value in document.items()}
    if isinstance(document, list):
        return [finite(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def report(job: Job, judged: Judged, run_id: str, version: str, outcome: str) -> dict[str, Any]:
    return {
        "model": job.name,
        "outcome": outcome,
        "version": version,
        "run_id": run_id,
        "kind": judged.kind,
        "baseline": job.baseline,
        "primary": job.primary,
        "gate": judged.verdict.reasons,
        "metrics": {name: asdict(each) for name, each in judged.measured.items()},
        "beside": judged.others,
        "data": job.facts(),
        "warnings": job.warnings(),
    }

"""The last window again, side by side: a registered version, another one, and the baselines."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from patron.errors import ArtifactError, NoChampion, UsageError
from patron.models.base import Model, open_model
from patron.settings import Settings
from training import tracking
from training.backtest import Say, rolled
from training.bootstrap import difference, intervals
from training.customers import CustomerJob
from training.job import Job
from training.jobs import open_job


def evaluate(
    job: Job,
    version: str | None = None,
    against: str | None = None,
    tests: int = 0,
    say: Say = lambda what: None,
) -> dict[str, Any]:
    """Judge the twin of a version (the champion's by default) on this lake's last window.

    tests: of a customer job, also judge its recipe from so many test cutoffs on (`training.backtest`).

    Raises ArtifactError when a twin has seen that window: it would be judged on what it learned from.
    """
    version = version or tracking.alias_version(job.settings, job.name, tracking.CHAMPION)
    if version is None:
        raise NoChampion(f"No champion for '{job.short}'. Train one: patron train {job.short}")
    with tempfile.TemporaryDirectory(prefix="patron-") as scratch:
        model = twin(job, version, Path(scratch) / "one")
        judged = {f"version {version}": job.judge(model)}
        if against is not None:
            judged[f"version {against}"] = job.judge(twin(job, against, Path(scratch) / "other"))
    judged |= {kind: job.judge(job.fit(kind, shipped=False)) for kind in dict.fromkeys((job.baseline,))}
    first, *others = judged
    seed = job.settings.seed
    comparable = judged[first].customers > 0
    return {
        "model": job.name,
        "primary": job.primary,
        "data": job.facts(),
        "metrics": {name: each.metrics for name, each in judged.items()},
        "intervals": {name: asdict(each) for name, each in intervals(judged[first], seed).items()},
        "differences": {
            other: asdict(difference(judged[first], judged[other], seed)) for other in others if comparable
        },
        **({"evidence": evidence} if (evidence := job.evidence(model)) else {}),
        **backtested(job, tests, say),
    }


def backtested(job: Job, tests: int, say: Say = lambda what: None) -> dict[str, Any]:
    """`{"backtest": [...]}` of a job over customers; nothing of others, or where no tests are asked for."""
    if not tests or not isinstance(job, CustomerJob):
        return {}
    return {"backtest": [each.document() for each in rolled(job, tests=tests, say=say)]}


def twin(job: Job, version: str, scratch: Path) -> Model:
    """The judged twin of a version. Raises ArtifactError when it has seen the window."""
    folder = tracking.fetched(job.settings, job.name, version, "evaluated", scratch)
    model, manifest = open_model(folder)
    if manifest.cutoff > job.test:
        raise ArtifactError(
            f"Version {version} was judged after {manifest.cutoff:%Y-%m-%d} and has seen the window from "
            f"{job.test:%Y-%m-%d} on: it cannot be judged on it. Build features of newer data first."
        )
    return model


def over_horizon(settings: Settings, short: str, days: int, tests: int, say: Say) -> dict[str, Any]:
    """The backtest alone, over another horizon than the settings'. Registered versions answer theirs only.

    Raises UsageError for a model without a horizon.
    """
    changed = settings.model_copy(update={"churn_horizon_days": days, "value_horizon_days": days})
    job = open_job(changed, short)
    if not isinstance(job, CustomerJob):
        raise UsageError(f"'{short}' has no horizon. Leave out --horizon.")
    return {"model": job.name, "primary": job.primary, "horizon_days": days, **backtested(job, tests, say)}

"""Quality beside a training run: the sources' report, the drift since the fit, and the reference of drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.offline import snapshot
from features.rows import Rows
from patron.models.base import FeatureRows, Model
from patron.models.drift import LARGEST, Columns, Reference, compared
from patron.quality.report import current
from patron.quality.show import page
from training.consent import withheld
from training.customers import CustomerJob
from training.job import Job

SCORES: dict[str, Callable[[Any, FeatureRows], Columns]] = {
    "churn": lambda model, rows: {"churn_probability": model.predict(rows)},
    "lifetime-value": lambda model, rows: {"expected_value": model.predict(rows).expected_value},
    "portrait": lambda model, rows: {
        "segment": model.segment(rows),
        "lifecycle_stage": model.stage(rows),
        "cluster": model.cluster(rows),
    },
}
"""Model -> its scores, named as `patron score` names its columns."""


@dataclass(frozen=True)
class Seen:
    """Feature columns and scores of customers at several cutoffs."""

    columns: Mapping[str, Columns]
    """`features` and `scores` -> name -> shape (rows,)."""
    moments: NDArray[np.float64]
    """The cutoff of each row, epoch seconds."""

    def take(self, at: NDArray[np.bool_]) -> Seen:
        parts = {
            part: {name: values[at] for name, values in each.items()} for part, each in self.columns.items()
        }
        return Seen(parts, self.moments[at])

    def references(self, seed: int, fit: list[float]) -> dict[str, Reference]:
        """What drift is told against: features at the cutoffs of the fit; scores at those after it, which
        the fit did not see."""
        later = sorted(set(self.moments.tolist()) - set(fit))
        basis = {"features": fit, "scores": later or fit}
        return {
            part: Reference.fit(each, seed, self.moments, basis[part]) for part, each in self.columns.items()
        }


def follow(job: Job, model: Model) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The reference of drift that goes into a model's artifact, and the drift of the newest cutoff.

    None twice for a model that is not of customers' features.
    """
    if not isinstance(job, CustomerJob) or job.short not in SCORES:
        return None, None
    seen, fit = look(job, model), [each.timestamp() for each in job.shipped.fit]
    references = seen.references(job.settings.seed, fit)
    newest = seen.moments == job.cutoff.timestamp()
    before = seen.take(~newest).references(job.settings.seed, fit)
    drift = compared(before, seen.take(newest).columns, job.cutoff)
    return {part: each.document() for part, each in references.items()}, drift


def look(job: CustomerJob, model: Model) -> Seen:
    """The customers that the job read, and those of the newest cutoff; LARGEST of each cutoff at most."""
    rows = {cutoff: each.rows for cutoff, each in sorted(job.data.items())}
    if job.cutoff not in rows:
        rows[job.cutoff] = newest(job)
    rng = np.random.default_rng(job.settings.seed)
    rows = {cutoff: sample(each, rng) for cutoff, each in rows.items() if len(each)}
    read = [each for each in job.references(model) if each in job.inputs()]
    names = [name for each in read if steady(name := each.partition(":")[2])]
    features: list[Columns] = [{name: each.columns[name] for name in names} for each in rows.values()]
    scores = [SCORES[job.short](model, each.columns) for each in rows.values()]
    return Seen(
        columns={"features": stacked(features), "scores": stacked(scores)},
        moments=np.concatenate([np.full(len(each), moment(at)) for at, each in rows.items()]),
    )


def newest(job: CustomerJob) -> Rows:
    """Customers at the newest cutoff, whose labels nobody knows yet."""
    rows, refused = snapshot(job.settings, job.inputs(), job.cutoff), withheld(job.settings)
    rows = rows.take(np.array([each not in refused for each in rows.ids], dtype=bool))
    return rows.take(job.eligible(rows, job.cutoff))


def steady(name: str) -> bool:
    """Whether a feature can stay as it is: a moment moves with the calendar."""
    return not name.endswith("_at")


def moment(cutoff: datetime) -> float:
    return cutoff.timestamp()


def sample(rows: Rows, rng: np.random.Generator) -> Rows:
    if len(rows) <= LARGEST:
        return rows
    return rows.take(np.sort(rng.choice(len(rows), LARGEST, replace=False)))


def stacked(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}


def record(job: Job, drift: dict[str, Any] | None) -> dict[str, Any]:
    """Log the report on the sources, and the drift, in the running MLflow run; gives both in short."""
    import mlflow

    found = current(job.settings)
    mlflow.log_dict({"sources": found, "drift": drift}, "quality.json")
    mlflow.log_text(page(found, drift), "quality.md")
    numbers = {"quality.alarms": float(len(found["alarms"]))}
    if drift is not None:
        numbers |= {"drift.max_psi": drift["max_psi"], "drift.alarms": float(len(drift["alarms"]))}
    mlflow.log_metrics(numbers)
    return {
        "alarms": [each["text"] for each in found["alarms"]],
        "drift": drift and {"max_psi": drift["max_psi"], "alarms": drift["alarms"]},
    }


def said(checked: dict[str, Any]) -> list[str]:
    """The alarms of `record`, in lines for who trains."""
    drifted = checked["drift"]["alarms"] if checked["drift"] else []
    return [*(f"Quality: {each}" for each in checked["alarms"]), *(f"Drift: {each}" for each in drifted)]

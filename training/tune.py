"""Tuning: an Optuna study for each part, which goes on where it stopped; trials are nested MLflow runs."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from features.build import data_hash
from patron.errors import DataError, UsageError
from patron.files import publish_text
from patron.models.base import merged
from patron.settings import Settings
from training import tracking
from training.job import WHOLE, Job
from training.jobs import open_job

if TYPE_CHECKING:
    from optuna import Study, Trial

UNPRUNED = 5
"""Trials of a study that are always run to their end."""


@dataclass
class Search:
    """One part's study, beside what the present configuration reaches on the same customers."""

    part: str
    study: Study
    present: float
    before: int
    """Trials of earlier runs."""

    @property
    def best(self) -> float:
        """NaN before the first finished trial."""
        from optuna.trial import TrialState

        return self.study.best_value if self.study.get_trials(states=[TrialState.COMPLETE]) else math.nan

    def parameters(self, job: Job) -> dict[str, Any]:
        """Overrides that make the part better than it is at present; none, where none were found."""
        from optuna.trial import FixedTrial

        return job.space(FixedTrial(self.study.best_params), self.part) if self.best > self.present else {}

    def told(self) -> dict[str, Any]:
        states = [each.state.name for each in self.study.trials]
        return {
            "study": self.study.study_name,
            "trials": len(states),
            "new_trials": len(states) - self.before,
            "pruned": states.count("PRUNED"),
            "validation": None if math.isnan(self.best) else self.best,
            "validation_default": self.present,
        }


def tune(
    settings: Settings,
    short: str,
    trials: int,
    write: bool = False,
    parts: Sequence[str] = (),
    advance: Callable[[str, float], None] = lambda part, best: None,
) -> dict[str, Any]:
    """Run `trials` more trials, the parts in turn, and return the best parameters of all studies together.

    A study belongs to its data: other data starts another. Scores are of the validation window only; the test
    window is not touched. The parts' best are put together and scored as a whole once: only where that beats
    the present configuration do they go to `configs/models/<short>.toml`, and only with `write`.
    """
    job = open_job(settings, short)
    asked = chosen(job, parts)
    tracking.client(settings)
    import mlflow

    with tracking.run(settings, job.name, f"tune {short}") as run_id:
        default = job.validate()
        searches = opened(job, asked) if math.isfinite(default) else []
        if not searches:
            raise DataError(f"Too little happened before the last window to score {job.name} by.")
        mlflow.log_metric("validation.default", default)
        for _ in range(trials):
            search = min(searches, key=lambda each: len(each.study.trials))
            search.study.optimize(lambda trial, part=search.part: tried(job, part, trial), n_trials=1)
            advance(search.part, search.best)
        best: dict[str, Any] = {}
        for search in searches:
            best = merged(best, search.parameters(job))
        reached = job.with_overrides(best).validate() if best else default
        mlflow.log_params(flattened(best))
        mlflow.log_metric("validation", reached)
    better = reached > default
    if write and better:
        store(settings, short, best)
    told = {each.part: each.told() for each in searches}
    return {
        "model": job.name,
        "run_id": run_id,
        "parts": told,
        "trials": sum(each["trials"] for each in told.values()),
        "new_trials": sum(each["new_trials"] for each in told.values()),
        "validation": reached,
        "validation_default": default,
        "parameters": best,
        "written": write and better,
    }


def chosen(job: Job, parts: Sequence[str]) -> tuple[str, ...]:
    """The parts to tune. Raises UsageError, naming those there are."""
    known = job.parts()
    if unknown := [each for each in parts if each not in known]:
        raise UsageError(f"No part '{unknown[0]}' of {job.name}. There are: {', '.join(known)}")
    return tuple(each for each in known if each in parts) or known


def opened(job: Job, parts: Sequence[str]) -> list[Search]:
    """The studies of those parts that the present configuration can be scored on."""
    found = []
    for part in parts:
        *_, present = job.attempt(part, {})
        if math.isfinite(present):
            study = study_of(job, part)
            found.append(Search(part, study, present, len(study.trials)))
    return found


def study_of(job: Job, part: str) -> Study:
    """Kept in `PATRON_HOME/tuning.db`, named after the part, the data and what else its scores depend on."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings, basis = job.settings, job.basis(part)
    settings.home.mkdir(parents=True, exist_ok=True)
    # What is scored in one step cannot end early.
    pruners = optuna.pruners
    pruner = pruners.NopPruner() if part == WHOLE else pruners.MedianPruner(n_startup_trials=UNPRUNED)
    key = data_hash(settings) + (json.dumps(basis, sort_keys=True) if basis else "")
    study = optuna.create_study(
        study_name=f"{job.short}-{part}-{hashlib.sha256(key.encode()).hexdigest()[:12]}",
        storage=f"sqlite:///{settings.home.resolve()}/tuning.db",
        direction="maximize",
        load_if_exists=True,
        pruner=pruner,
    )
    # A run that goes on must not draw again what the first one drew.
    study.sampler = optuna.samplers.TPESampler(seed=settings.seed + len(study.trials))
    return study


def tried(job: Job, part: str, trial: Trial) -> float:
    """One trial of a part, recorded. Raises TrialPruned where it fell behind the others' median."""
    import mlflow
    import optuna

    overrides, pruned, score = job.space(trial, part), False, math.nan
    with tracking.run(job.settings, job.name, f"{part} {trial.number}", nested=True):
        mlflow.log_params(flattened(overrides))
        for step, score in enumerate(job.attempt(part, overrides)):
            trial.report(score, step)
            mlflow.log_metric("validation", score, step=step)
            pruned = trial.should_prune()
            if pruned:
                break
        mlflow.set_tags({"part": part, "pruned": pruned})
    if pruned:
        raise optuna.TrialPruned
    return score


def flattened(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested parameters with dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flattened(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def store(settings: Settings, short: str, best: dict[str, Any]) -> None:
    """Put parameters into the model's TOML file, comments kept: each key in its place, new ones added."""
    path = settings.configs / "models" / f"{short}.toml"
    text = path.read_text(encoding="utf-8")
    for key, value in flattened(best).items():
        text = placed(text, key, f"{value!r}")
    publish_text(path, text)


def placed(text: str, key: str, value: str) -> str:
    """TOML text with one (dotted) key set to a value, within its own section."""
    section, _, name = key.rpartition(".")
    start = 0
    if section:
        header = re.search(rf"^\[{re.escape(section)}\][ \t]*(#.*)?$", text, re.MULTILINE)
        if header is None:
            return f"{text.rstrip()}\n\n[{section}]\n{name} = {value}\n"
        start = header.end()
    following = re.compile(r"^\[", re.MULTILINE).search(text, start)
    end = following.start() if following else len(text)
    part, count = re.subn(
        rf"^{re.escape(name)}\s*=[^#\n]*?([ \t]+#.*)?$",
        lambda line: f"{name} = {value}{line[1] or ''}",
        text[start:end],
        flags=re.MULTILINE,
    )
    if not count:
        part = f"{part.rstrip()}\n{name} = {value}\n" + ("\n" if following else "")
    return text[:start] + part + text[end:]

"""Tuning: an Optuna study that goes on where it stopped; each trial is a nested MLflow run."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from typing import Any

from features.build import data_hash
from patron.errors import DataError
from patron.files import publish_text
from patron.settings import Settings
from training import tracking
from training.jobs import open_job


def tune(
    settings: Settings,
    short: str,
    trials: int,
    write: bool = False,
    advance: Callable[[float], None] = lambda best: None,
) -> dict[str, Any]:
    """Run `trials` more trials and return the best parameters of the study.

    The study belongs to this data: other data starts another. Scores are of the validation window only; the
    test window is not touched. With `write` the best parameters go to `configs/models/<short>.toml`.
    """
    job = open_job(settings, short)
    tracking.client(settings)
    import mlflow
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings.home.mkdir(parents=True, exist_ok=True)
    name = f"{short}-{data_hash(settings)[:12]}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            study_name=name,
            storage=f"sqlite:///{settings.home.resolve()}/tuning.db",
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(seed=settings.seed),
        )
    before = len(study.trials)
    with tracking.run(settings, job.name, f"tune {short}") as run_id:

        def objective(trial: optuna.Trial) -> float:
            overrides = job.space(trial)
            with tracking.run(settings, job.name, f"trial {trial.number}", nested=True):
                score = job.with_overrides(overrides).validate()
                mlflow.log_params(flattened(overrides))
                mlflow.log_metric("validation", score)
            return score

        default = job.with_overrides({}).validate()
        if not math.isfinite(default):
            raise DataError(f"Too little happened before the last window to score {job.name} by.")
        mlflow.log_metric("validation.default", default)
        study.optimize(objective, n_trials=trials, callbacks=[lambda each, _: advance(each.best_value)])
        best = job.space(optuna.trial.FixedTrial(study.best_params))
        mlflow.log_params(flattened(best))
        mlflow.log_metric("validation", study.best_value)
    better = study.best_value > default
    if write and better:
        store(settings, short, best)
    return {
        "model": job.name,
        "study": name,
        "run_id": run_id,
        "trials": len(study.trials),
        "new_trials": len(study.trials) - before,
        "validation": study.best_value,
        "validation_default": default,
        "parameters": best,
        "written": write and better,
    }


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

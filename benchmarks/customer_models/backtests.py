"""Online Retail: churn and value judged from several test cutoffs on, beside their honest rivals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from customer_models.machine import HERE
from patron import console
from patron.settings import Settings, load_settings
from training import metrics
from training.backtest import Tested, rolled

FILE = "online_retail.csv.gz"
MAPPING = "online-retail"
VIEWS = ("customer_activity", "customer_profile")


def measured(path: Path, home: Path, tests: int) -> dict[str, Any]:
    """{"data", "churn", "lifetime-value"}: each the documents of its tests, oldest first."""
    from training.churn import ChurnJob
    from training.lifetime_value import LifetimeValueJob

    settings = made(path, home.resolve())
    found: dict[str, Any] = {"data": facts(settings, path)}
    for job in (ChurnJob(settings), LifetimeValueJob(settings)):
        console.note(f"Backtests of {job.short}")
        told = rolled(job, tests=tests, say=console.note)
        found[job.short] = [each.document() for each in told]
        found[f"{job.short} horizon"] = job.horizon_days
        if isinstance(job, ChurnJob):
            found["churn by buy-till-you-die"] = [never_again(job, each) for each in told]
    return found


def made(path: Path, home: Path) -> Settings:
    """Imported and built by Patron's own code, with the settings that ship; what is there stays."""
    from features.build import build
    from features.store import apply
    from features.views import VIEWS as EVERY
    from patron.lake.importer import import_files

    settings = load_settings(
        home=home, mlruns=home / "mlruns", configs=HERE.parent / "configs", clock="data", threads=1
    )
    if not settings.lake.is_dir():
        console.note(f"Importing {path.name}")
        import_files(settings, MAPPING, [str(path)])
    console.note("Building features")
    build(settings, views=[view for view in EVERY if view.name in VIEWS])
    apply(settings)
    return settings


def facts(settings: Settings, path: Path) -> dict[str, Any]:
    from features.build import built_cutoffs
    from patron.lake.tables import Lake

    cutoffs = built_cutoffs(settings)
    span = [f"{each:%Y-%m-%d}" for each in (cutoffs[0], cutoffs[-1])]
    lines = Lake(settings.lake).rows("order_lines")
    return {"name": path.name, "order_lines": lines, "cutoffs": len(cutoffs), "from": span[0], "to": span[1]}


def never_again(job: Any, tested: Tested) -> dict[str, float]:
    """The chance of no purchase by Pareto/NBD as it is, for the same customers and window."""
    from patron.models.buying import Buying
    from training.churn import churned
    from training.customers import stacked

    at = job.at(tested.windows.test)
    past = stacked([at.data[each] for each in (*at.judged.fit, at.judged.calibrate)])
    test = at.data[at.test]
    buying = Buying.fit(past.rows.columns, seed=job.settings.seed)
    gone = 1 - buying.active(test.rows.columns, job.horizon_days)
    outcome = churned(test)
    return {
        "roc_auc": metrics.roc_auc(outcome, gone),
        "expected_calibration_error": metrics.expected_calibration_error(outcome, gone),
        "lift_at_10": metrics.lift_at(outcome, gone),
    }

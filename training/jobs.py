"""Every job by its short name, in the order that `patron train all` runs them."""

from __future__ import annotations

import importlib
from typing import Any

from patron.errors import UsageError
from patron.settings import Settings
from training.job import Job

JOBS = {
    "recommender": "training.recommender:RecommenderJob",
    "churn": "training.churn:ChurnJob",
    "lifetime-value": "training.lifetime_value:LifetimeValueJob",
    "portrait": "training.portrait:PortraitJob",
    "replenishment": "training.replenishment:ReplenishmentJob",
    "offers": "training.offers:OffersJob",
}


def open_job(settings: Settings, short: str, overrides: dict[str, Any] | None = None) -> Job:
    """Open the job of a model. Raises UsageError, naming those there are."""
    if short not in JOBS:
        raise UsageError(f"No model '{short}'. There are: {', '.join(JOBS)}")
    module, _, name = JOBS[short].partition(":")
    job: Job = getattr(importlib.import_module(module), name)(settings, overrides)
    return job

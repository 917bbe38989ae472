"""Backtests: a job judged again from several earlier cutoffs on, as it would have been at the time.

`backtest(ChurnJob, settings)` is all that a caller needs. For every test cutoff the job's windows end there:
what is fitted, chosen and calibrated saw nothing after it. Every kind is fitted, the rivals too; all are
measured on the same resampled customers, so that differences are paired.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from patron.errors import DataError
from patron.settings import Settings
from training.bootstrap import Interval, Judgement, draws, interval
from training.customers import CustomerJob
from training.windows import Windows, spread

Metrics = dict[str, Interval]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Tested:
    """What was found at one test cutoff. Metrics of a window as a whole have an interval of NaN."""

    windows: Windows
    learned: list[datetime]
    """The cutoffs that the models were fitted and calibrated on."""
    ends: datetime
    """The labels cover [windows.test, ends)."""
    months: list[str]
    """Those that the test window touches: the season that was judged."""
    overlap_days: int
    """So many days of the window belong to the next test's, too."""
    customers: int
    left_out: dict[str, int]
    """Status -> customers who have it and stand in no metric."""
    chosen: str
    """The kind that did best before the test."""
    metrics: dict[str, Metrics]
    """Kind -> metric -> value with its interval."""
    differences: dict[str, dict[str, Metrics]] = field(default_factory=dict)
    """Kind -> rival -> metric -> kind minus rival, paired."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        found = asdict(self)
        windows = found.pop("windows")
        return {
            "test_cutoff": f"{windows['test']:%Y-%m-%d}",
            "calibration_cutoff": f"{windows['calibrate']:%Y-%m-%d}",
            "chosen_by_cutoffs": [f"{each:%Y-%m-%d}" for each in windows["fit"]],
            **found,
            "learned": [f"{each:%Y-%m-%d}" for each in self.learned],
            "ends": f"{self.ends:%Y-%m-%d}",
        }


def backtest(
    job_class: type[CustomerJob],
    settings: Settings,
    cutoffs: Sequence[datetime] | None = None,
    tests: int = 4,
    overrides: dict[str, Any] | None = None,
    kinds: Sequence[str] | None = None,
    rounds: int = 200,
    say: Say = lambda what: None,
) -> list[Tested]:
    """Judge every kind of a job from several test cutoffs on, oldest first.

    cutoffs: which; None: `tests` of those possible, see `windows.spread`. kinds: only these. Raises DataError
    when a cutoff has too little history before it, or no known labels after it.
    """
    return rolled(job_class(settings, overrides), cutoffs, tests, kinds, rounds, say)


def rolled(
    job: CustomerJob,
    cutoffs: Sequence[datetime] | None = None,
    tests: int = 4,
    kinds: Sequence[str] | None = None,
    rounds: int = 200,
    say: Say = lambda what: None,
) -> list[Tested]:
    """`backtest` of a job that is open."""
    possible = job.tests()
    chosen = sorted(cutoffs) if cutoffs is not None else spread(possible, tests, job.horizon_days)
    if unknown := sorted(set(chosen) - set(possible)):
        raise DataError(
            f"Nothing can be judged from {', '.join(f'{each:%Y-%m-%d}' for each in unknown)} on. "
            f"There are: {', '.join(f'{each:%Y-%m-%d}' for each in possible)}"
        )
    found = []
    for test, after in zip(chosen, [*chosen[1:], None], strict=True):
        say(f"judging from {test:%Y-%m-%d} on")
        found.append(tested(job.at(test), after, kinds or job.kinds, rounds))
    return found


def tested(job: CustomerJob, after: datetime | None, kinds: Sequence[str], rounds: int) -> Tested:
    """One test. job: whose windows end there. after: the next test cutoff."""
    judgements = {kind: job.judge(job.fit(kind, shipped=False)) for kind in kinds}
    first = judgements[kinds[0]]
    indices = draws(first.customers, rounds, job.settings.seed) if first.customers else []
    samples = {kind: sampled(each, indices) for kind, each in judgements.items()}
    values = {kind: each.metrics for kind, each in judgements.items()}
    ends = job.test + timedelta(days=job.horizon_days)
    return Tested(
        windows=job.judged,
        learned=job.learns(job.judged),
        ends=ends,
        months=months(job.test, ends),
        overlap_days=max(0, (ends - after).days) if after else 0,
        customers=first.customers,
        left_out=job.left_out,
        chosen=job.choose()[0],
        metrics={kind: bounded(values[kind], samples[kind]) for kind in kinds},
        differences={
            kind: {
                rival: bounded(less(values[kind], values[rival]), less(samples[kind], samples[rival]))
                for rival in job.rivals
                if rival in kinds
            }
            for kind in kinds
            if kind not in job.rivals
        },
    )


def sampled(judged: Judgement, indices: Sequence[Any]) -> dict[str, np.ndarray]:
    """Metric -> its values over the resampled customers."""
    found = [judged.measure(each) for each in indices]
    return {name: np.array([each[name] for each in found]) for name in found[0]} if found else {}


def less(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`one` minus `other` for each metric that both have."""
    return {name: one[name] - other[name] for name in one if name in other}


def bounded(values: Mapping[str, float], samples: Mapping[str, np.ndarray]) -> Metrics:
    """Each value with the percentile interval of its samples."""
    return {name: interval(value, samples.get(name, np.zeros(0))) for name, value in values.items()}


def months(start: datetime, end: datetime) -> list[str]:
    """Names of the months that [start, end) touches, each once."""
    days = (start + timedelta(days=each) for each in range((end - start).days))
    return list(dict.fromkeys(calendar.month_name[each.month] for each in days))

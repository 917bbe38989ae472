"""Which cutoffs fit, calibrate and test a model: global in time, the test window last and untouched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from patron.errors import DataError


@dataclass(frozen=True)
class Windows:
    """Cutoffs of one fit. Labels of `fit` end by `calibrate`, those of `calibrate` by `test`."""

    fit: list[datetime]
    calibrate: datetime
    test: datetime


def split(cutoffs: Sequence[datetime], horizon_days: int, most: int = 12) -> tuple[Windows, Windows]:
    """The windows of the judged fit, and those of the shipped fit one horizon later.

    The shipped fit calibrates on the window that judged its twin, so it sees all the labels there are; its
    `test` is the newest cutoff, whose labels nobody knows yet. Raises DataError: the history is too short.
    """
    horizon = timedelta(days=horizon_days)
    end = max(cutoffs)
    judged = _fit(cutoffs, _last(cutoffs, end - horizon, horizon_days), horizon, most)
    shipped = _fit(cutoffs, end, horizon, most)
    return judged, shipped


def _fit(cutoffs: Sequence[datetime], test: datetime, horizon: timedelta, most: int) -> Windows:
    calibrate = _last(cutoffs, test - horizon, horizon.days)
    fit = [each for each in cutoffs if each <= calibrate - horizon][-most:]
    if not fit:
        raise DataError(_short(cutoffs, horizon.days))
    return Windows(fit, calibrate, test)


def _last(cutoffs: Sequence[datetime], moment: datetime, horizon_days: int) -> datetime:
    found = [each for each in cutoffs if each <= moment]
    if not found:
        raise DataError(_short(cutoffs, horizon_days))
    return max(found)


def _short(cutoffs: Sequence[datetime], horizon_days: int) -> str:
    return (
        f"The history is too short: cutoffs from {min(cutoffs):%Y-%m-%d} to {max(cutoffs):%Y-%m-%d} leave "
        f"no room to fit, calibrate and test over a horizon of {horizon_days} days each. Import more "
        "history, or set a shorter horizon in the settings."
    )

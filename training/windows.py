"""Which cutoffs fit, calibrate and test a model: global in time, the test window last and untouched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from patron.errors import DataError


@dataclass(frozen=True)
class Windows:
    """Cutoffs of one fit. Labels of `fit` end by `calibrate`, those of `calibrate` by `test`."""

    fit: list[datetime]
    calibrate: datetime
    test: datetime
    known: list[datetime] = field(default_factory=list)
    """The last cutoffs whose labels end by `test`: what may be learned from when all has been chosen."""


def split(cutoffs: Sequence[datetime], horizon_days: int, most: int = 12) -> tuple[Windows, Windows]:
    """The windows of the judged fit, and those of the shipped fit one horizon later.

    The shipped fit calibrates on the window that judged its twin, so it sees all the labels there are; its
    `test` is the newest cutoff, whose labels nobody knows yet. Raises DataError: the history is too short.
    """
    return (
        ending_at(cutoffs, last_test(cutoffs, horizon_days), horizon_days, most),
        ending_at(cutoffs, max(cutoffs), horizon_days, most),
    )


def last_test(cutoffs: Sequence[datetime], horizon_days: int) -> datetime:
    """The newest cutoff whose labels are known. Raises DataError."""
    return _last(cutoffs, max(cutoffs) - timedelta(days=horizon_days), horizon_days)


def ending_at(
    cutoffs: Sequence[datetime], test: datetime, horizon_days: int, most: int = 12, overlap: bool = False
) -> Windows:
    """The windows of a fit that sees nothing from `test` on; it fits on the last `most` cutoffs.

    overlap: labels of the fit may reach into the calibration window, but not beyond it (where other customers
    calibrate). Raises DataError: the history before `test` is too short.
    """
    horizon = timedelta(days=horizon_days)
    calibrate = _last(cutoffs, test - horizon, horizon_days)
    until = calibrate - (timedelta(0) if overlap else horizon)
    fit = [each for each in cutoffs if each <= until and each < calibrate][-most:]
    if not fit:
        raise DataError(_short(cutoffs, horizon_days))
    return Windows(fit, calibrate, test, [each for each in cutoffs if each <= calibrate][-most - 1 :])


def spread(possible: Sequence[datetime], count: int, horizon_days: int) -> list[datetime]:
    """At most `count` of the possible test cutoffs, the newest among them, oldest first.

    They lie as far apart as so many can, at most a horizon and at least a third of one: test windows overlap
    by two thirds at the most, and there are fewer of them where the history is too short.
    """
    newest, room = max(possible), max(possible) - min(possible)
    horizon = timedelta(days=horizon_days)
    step = min(max(room / max(count - 1, 1), horizon / 3), horizon)
    found = [newest]
    for earlier in sorted(possible, reverse=True):
        if (
            len(found) < count
            and earlier <= newest - step * len(found)
            and earlier <= found[-1] - horizon / 3
        ):
            found.append(earlier)
    return found[::-1]


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

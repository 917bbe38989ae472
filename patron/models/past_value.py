"""The past repeats itself: the honest baseline of lifetime value."""

from __future__ import annotations

import numpy as np

from patron.models.activity import NET, Numbers, column
from patron.models.base import FeatureRows

WINDOWS = np.array([0.0, 30.0, 90.0, 365.0])


def history(rows: FeatureRows, what: str, horizon: int) -> Numbers:
    """Spend net of returns, or orders, of the same length of time before the cutoff.

    Between the windows of 30, 90 and 365 days linear, beyond the last one at its rate; never less than that
    of a shorter time.
    """
    totals = [np.nan_to_num(column(rows, f"{what}_{days:.0f}d")) for days in WINDOWS[1:]]
    if what == "spend":
        returned = (np.nan_to_num(column(rows, name)) for name in (*NET, "returned_365d"))
        totals = [np.maximum(spent - back, 0) for spent, back in zip(totals, returned, strict=True)]
    known = np.maximum.accumulate(np.column_stack([np.zeros(len(totals[0])), *totals]), axis=1)
    if horizon >= WINDOWS[-1]:
        return np.asarray(known[:, -1] * horizon / WINDOWS[-1])
    upper = int(np.searchsorted(WINDOWS, horizon))
    share = (horizon - WINDOWS[upper - 1]) / (WINDOWS[upper] - WINDOWS[upper - 1])
    return np.asarray(known[:, upper - 1] * (1 - share) + known[:, upper] * share)

"""Whether the wait for the next order holds: its chances, and the date by which half should have come."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.models.base import FeatureRows
from patron.models.waiting import Waiting
from training import metrics

DAYS = (7, 14, 28)


def reliability(
    waiting: Waiting, rows: FeatureRows, waits: NDArray[np.float64], horizon_days: int, seed: int
) -> dict[str, float]:
    """Of `order_within` up to the horizon: Brier score, calibration error and its band; of `remaining`: the
    share of the returned who came by the date told, which is one half but for those who come later.

    waits: days from the cutoff to the next order, inf where none followed.
    """
    found: dict[str, Any] = {}
    for days in (each for each in DAYS if each <= horizon_days):
        chance, came = waiting.order_within(rows, days), (waits < days).astype(np.float64)
        found |= {
            f"order_within_{days}.brier": metrics.brier(came, chance),
            f"order_within_{days}.calibration_error": metrics.expected_calibration_error(came, chance),
            f"order_within_{days}.calibration_band": metrics.calibration_band(chance, seed, rounds=200),
        }
    returned = waits < horizon_days
    if returned.any():
        dates = waiting.remaining(rows)
        found["next_order.came_by_the_date"] = float((waits < dates)[returned].mean())
        found["next_order.days_off"] = float(np.median(np.abs(waits - dates)[returned]))
    return found

"""What customers did after a cutoff, counted from the staged order lines: [cutoff, cutoff + horizon)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.cutoffs import span
from features.engine import connect
from features.staging import stage
from patron.lake.tables import Lake
from patron.settings import Settings
from training.consent import withheld

DAY = 86_400


class Orders:
    """The orders of known customers, as arrays sorted by customer and time; opened once a job.

    Those of customers who do not want models to learn from them are left out.

    `first` and `last` are the times (epoch seconds) of the first and the last order line of the lake.
    `learned` is when the shop knew of each moment: as it happened, unless it arrived later.
    """

    def __init__(self, settings: Settings) -> None:
        engine = connect(settings)
        try:
            staged = stage(engine, Lake(settings.lake), settings.home / "tmp" / "staged")
            moments = staged.moments.select(
                *("customer_id", "at", "ingested_at", "is_order", "cost_cents", "costed_cents"),
                net=staged.moments.paid_cents - staged.moments.returned_cents,
            )
            if refused := withheld(settings):
                moments = moments.filter(moments.customer_id.notin(sorted(refused)))
            found = moments.order_by("customer_id", "at").to_pyarrow()
            self.first, self.last = (each.timestamp() for each in span(staged))
        finally:
            engine.disconnect()
        self.names = found["customer_id"].to_numpy(zero_copy_only=False).astype(str)
        self.at = found["at"].to_numpy()
        self.learned = pc.max_element_wise(found["at"], found["ingested_at"]).to_numpy()
        self.is_order = found["is_order"].to_numpy(zero_copy_only=False).astype(bool)
        self.net, self.costed, self.cost = (
            found[name].to_numpy() / 100 for name in ("net", "costed_cents", "cost_cents")
        )

    def costs(self, before: datetime) -> tuple[float, float]:
        """Of the year before a cutoff: the share of revenue of known cost, and the margin's share of that.

        As known at the cutoff. Both 0 where nothing was earned. Costs are the catalogue's of today.
        """
        end = before.timestamp()
        year = (self.learned < end) & (self.at >= end - 365 * DAY)
        net, costed, cost = (float(each[year].sum()) for each in (self.net, self.costed, self.cost))
        return (costed / net if net > 0 else 0.0), ((costed - cost) / costed if costed > 0 else 0.0)

    def margins(self, share: float) -> NDArray[np.float64]:
        """Margin of each moment; of what has no known cost, `share` of the revenue."""
        return self.costed - self.cost + share * (self.net - self.costed)

    def after(
        self,
        ids: Sequence[str],
        cutoff: datetime,
        horizon_days: int,
        amounts: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(orders, revenue net of returns) of each customer in [cutoff, cutoff + horizon_days).

        amounts: what to sum instead of the revenue, one for each moment.
        """
        start = cutoff.timestamp()
        within = (self.at >= start) & (self.at < start + horizon_days * DAY)
        positions = {name: place for place, name in enumerate(ids)}
        places = np.array([positions.get(name, -1) for name in self.names[within]], dtype=np.int64)
        mine = places >= 0
        orders = np.zeros(len(ids))
        revenue = np.zeros(len(ids))
        np.add.at(orders, places[mine], self.is_order[within][mine].astype(np.float64))
        np.add.at(revenue, places[mine], (self.net if amounts is None else amounts)[within][mine])
        return orders, revenue

    def next_days(self, ids: Sequence[str], cutoff: datetime) -> NDArray[np.float64]:
        """Days from the cutoff to the next order of each customer; inf where none followed."""
        later = self.is_order & (self.at >= cutoff.timestamp())
        names, first = np.unique(self.names[later], return_index=True)  # sorted by time within a customer
        days = (self.at[later][first] - cutoff.timestamp()) / DAY
        found = dict(zip(names.tolist(), days.tolist(), strict=True))
        return np.array([found.get(each, np.inf) for each in ids], dtype=np.float64)

    def gaps(self, before: datetime | None = None) -> NDArray[np.float64]:
        """Days between the purchase days of the same customer known before a moment, all customers pooled."""
        kept = self.is_order & (self.learned < (before.timestamp() if before else np.inf))
        days, names = self.at[kept] // DAY, self.names[kept]
        steps = np.diff(days)
        return steps[(names[1:] == names[:-1]) & (steps > 0)].astype(np.float64)


def horizon_of(settings: Settings, orders: Orders) -> int:
    """The churn horizon: as set, or from the times between orders before any test window can begin."""
    if settings.churn_horizon_days:
        return settings.churn_horizon_days
    days = (orders.last - orders.first) / DAY
    untouched = orders.last - (days / 5 + settings.cutoff_step_days) * DAY
    return churn_horizon(orders.gaps(datetime.fromtimestamp(untouched, UTC)), days)


def churn_horizon(gaps: NDArray[np.float64], history_days: float, quantile: float = 0.95) -> int:
    """The time within which 95% of returning customers return, in whole weeks.

    Capped at a fifth of the history, so that fit, calibration and test each find a window of their own.
    """
    usual = float(np.quantile(gaps, quantile)) if len(gaps) else 28.0
    weeks = np.ceil(usual / 7)
    cap = np.floor(history_days / 5 / 7)
    return int(7 * max(1, min(weeks, cap)))

"""Who a customer is to the shop: an RFM segment and a lifecycle stage.

Recency, frequency and spend are scored 1..5 by quintiles learned at fit (5: most recent, most often, most).
The first rule that holds names the segment; FM is the mean of the F and M scores, rounded half up.

| segment | rule | what a CRM does |
| --- | --- | --- |
| champions | R 5, FM 4-5 | reward, ask for reviews, early access |
| loyal | R 3-4, FM 4-5 | upsell, programme |
| cannot_lose | R 1-2, FM 5 | win back in person |
| at_risk | R 1-2, FM 3-4 | personal reactivation |
| new | R 4-5, one purchase day | onboard, second purchase |
| potential | R 4-5, FM 2-3 | recommend, membership |
| promising | R 4-5, FM 1, or R 3 and one purchase day | awareness, small offers |
| hibernating | R 3, FM 1-3, or R 2 | standard contact |
| lost | R 1 | leave, or one cheap try |

Stages follow the churn horizon H, the customer's gap and the trend of the last months:

| stage | rule |
| --- | --- |
| prospect | no order |
| lost | last order older than `lost_after_horizons` x H and than `lost_after_gaps` of the own mean gap |
| declining | last order older than H and than twice the gap; or gap <= 45 days and half the usual spend |
| new | one purchase day, or the first within H |
| growing | spend of 90 days over `growth` times the usual of the year |
| mature | else |
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from patron.errors import DataError
from patron.files import publish_json
from patron.models.activity import Numbers, column, ratio, references, size
from patron.models.base import Config, FeatureRows, Model

SEGMENTS = (
    *("champions", "loyal", "potential", "promising", "new"),
    *("at_risk", "cannot_lose", "hibernating", "lost"),
)
STAGES = ("prospect", "new", "growing", "mature", "declining", "lost")

READS = (
    *("recency_days", "tenure_days", "mean_gap_days", "purchase_days"),
    *("orders_365d", "spend_365d", "spend_90d", "orders_total", "spend_total"),
)


class SegmentsConfig(Config):
    """Where stages begin and end."""

    horizon_days: int = Field(default=90, ge=1)
    """H, the churn horizon: training passes the one that churn was trained on."""
    lost_after_horizons: float = 3.0
    """Last order older than so many horizons, and..."""
    lost_after_gaps: float = 4.0
    """...than so many own gaps: lost."""
    growth: float = 1.25
    """Spend of 90 days over so many times the usual: growing."""


class Segments(Model):
    """Quintile edges of a shop, and the rules above."""

    Config = SegmentsConfig

    def __init__(self, config: SegmentsConfig | None = None):
        self.config = config or SegmentsConfig()
        self.edges: dict[str, list[float]] = {}

    @property
    def references(self) -> dict[str, str]:
        """Feast reference -> type of every feature that this model reads."""
        return references(READS)

    def fit(self, rows: FeatureRows, *, seed: int = 0, threads: int = 1) -> Self:
        """Learn the quintile edges from the customers with an order. Nothing is random.

        Raises DataError when there is none.
        """
        known = column(rows, "purchase_days") > 0
        if not known.any():
            raise DataError(f"None of {size(rows)} customers has an order: there are no quintiles to learn.")
        self.edges = {
            name: np.quantile(values[known], (0.2, 0.4, 0.6, 0.8)).tolist()
            for name, values in measures(rows).items()
        }
        return self

    def scores(self, rows: FeatureRows) -> tuple[Numbers, Numbers, Numbers]:
        """R, F and M, 1..5 each, shape (customers,). Equal values share a score."""
        if not self.edges:
            raise DataError("These segments were not fitted. Fit or load them first.")
        found = measures(rows)
        place = {
            name: np.searchsorted(self.edges[name], values, side="left") for name, values in found.items()
        }
        recency, frequency, spend = (
            place[name].astype(np.float64) for name in ("recency", "frequency", "spend")
        )
        return 5 - recency, 1 + frequency, 1 + spend

    def segment(self, rows: FeatureRows) -> NDArray[np.str_]:
        """One of SEGMENTS a customer; those without an order are 'new'. Shape (customers,)."""
        R, F, M = self.scores(rows)
        FM = np.floor((F + M) / 2 + 0.5)
        days = column(rows, "purchase_days")
        rules = {
            "champions": (R == 5) & (FM >= 4) & (days > 1),
            "loyal": (R >= 3) & (FM >= 4) & (days > 1),
            "cannot_lose": (R <= 2) & (FM == 5),
            "at_risk": (R <= 2) & (FM >= 3),
            "new": (R >= 4) & (days <= 1),
            "potential": (R >= 4) & (FM >= 2),
            "promising": (R >= 4) | ((R == 3) & (days <= 1)),
            "hibernating": R >= 2,
        }
        named = np.select(list(rules.values()), list(rules), "lost")
        return np.where(days > 0, named, "new")

    def stage(self, rows: FeatureRows) -> NDArray[np.str_]:
        """One of STAGES a customer, shape (customers,)."""
        H, config = self.config.horizon_days, self.config
        recency, tenure, days = (
            column(rows, name) for name in ("recency_days", "tenure_days", "purchase_days")
        )
        gap = np.nan_to_num(column(rows, "mean_gap_days"))
        usual = column(rows, "spend_365d") * np.clip(ratio(np.full(len(days), 90.0), tenure), 90 / 365, 1)
        trend = ratio(column(rows, "spend_90d"), usual)
        silent = (recency > H) & (recency > 2 * gap)
        rules = {
            "prospect": ~(days > 0),
            "lost": (recency > config.lost_after_horizons * H) & (recency > config.lost_after_gaps * gap),
            "new": (recency <= H) & ((days == 1) | (tenure <= H)),
            "declining": silent | ((trend < 0.5) & (gap > 0) & (gap <= 45)),
            "growing": (trend > config.growth) & (tenure > 90),
        }
        return np.select(list(rules.values()), list(rules), "mature")

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"config": self.config.model_dump(), "edges": self.edges}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        model = cls(SegmentsConfig(**document["config"]))
        model.edges = document["edges"]
        return model

    def save(self, folder: Path) -> None:
        publish_json(folder / "segments.json", self.document())

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls.of(json.loads((folder / "segments.json").read_text(encoding="utf-8")))


def measures(rows: FeatureRows) -> dict[str, Numbers]:
    """Recency in days (no order: infinite), purchase days, and spend of all time."""
    recency = column(rows, "recency_days")
    return {
        "recency": np.where(np.isnan(recency), np.inf, recency),
        "frequency": np.nan_to_num(column(rows, "purchase_days")),
        "spend": np.nan_to_num(column(rows, "spend_total")),
    }

"""Who a customer is to the shop: an RFM segment and a lifecycle stage.

Recency, frequency and spend are scored 1..5 by quintiles learned at fit (5: most recent, most often, most).
The first rule that holds names the segment. The rules stand in `configs/segments.toml`, their shipped form in
`patron/models/segment_rules.py`, and what each name means in `docs/portrait.md`.

Stages follow the churn horizon H, the customer's gap and the trend of the last months; the first that holds:

| stage | rule |
| --- | --- |
| prospect | no order |
| lost | last order older than `lost_after_horizons` x H and than `lost_after_gaps` of the own mean gap |
| new | last order within H, and one purchase day or the first within H |
| declining | last order older than H and than `silent_after_gaps` of the own mean gap; or a gap of at most
  `brisk_gap_days`, and the last 90 days below `decline` times the usual |
| growing | spend of 90 days over `growth` times the usual of the year |
| mature | else |
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from patron.errors import DataError
from patron.files import publish_json
from patron.models import segment_rules
from patron.models.activity import Numbers, column, ratio, references, size
from patron.models.base import Config, FeatureRows, Model
from patron.models.segment_rules import SEGMENTS, SHIPPED, Rule

__all__ = ("SEGMENTS", "STAGES", "Segments", "SegmentsConfig")

STAGES = ("prospect", "new", "growing", "mature", "declining", "lost")

READS = (
    *("recency_days", "tenure_days", "mean_gap_days", "purchase_days"),
    *("orders_365d", "spend_365d", "spend_90d", "orders_total", "spend_total"),
)


class SegmentsConfig(Config):
    """What `configs/segments.toml` may set: the rules, and where stages begin and end."""

    horizon_days: int = Field(default=90, ge=1)
    """H, the churn horizon: training passes the one that churn was trained on."""
    rules: tuple[Rule, ...] = SHIPPED
    """In the order in which they are tried."""
    lost_after_horizons: float = Field(default=3.0, gt=0)
    """Last order older than so many horizons, and..."""
    lost_after_gaps: float = Field(default=4.0, gt=0)
    """...than so many own gaps: lost."""
    silent_after_gaps: float = Field(default=2.0, gt=0)
    """Last order older than the horizon and than so many own gaps: declining."""
    decline: float = Field(default=0.5, ge=0)
    """Spend of 90 days under so many times the usual: declining, where the customer is brisk."""
    brisk_gap_days: float = Field(default=45.0, ge=0)
    """Who buys less often than that has too few orders in 90 days for a trend downwards."""
    growth: float = Field(default=1.25, ge=0)
    """Spend of 90 days over so many times the usual: growing."""

    @model_validator(mode="after")
    def of_use(self) -> Self:
        """All mistakes in the rules together."""
        if found := segment_rules.mistakes(self.rules):
            raise ValueError("; ".join(found))
        return self


class Segments(Model):
    """Quintile edges of a shop, and the rules above."""

    Config = SegmentsConfig

    def __init__(self, config: SegmentsConfig | None = None):
        self.config = config or SegmentsConfig()
        self.edges: dict[str, list[float]] = {}
        self.names = segment_rules.Named(self.config.rules)

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
        days = column(rows, "purchase_days")
        found = self.names.of(*self.scores(rows), days)
        return np.where(days > 0, found, "new")

    def why(self, rows: FeatureRows) -> list[str]:
        """The scores behind the segment in words, one text a customer: 'R 2, F 5, M 5: bought often and
        much, silent for 74 days'."""
        R, F, M = (each.astype(np.int64).tolist() for each in self.scores(rows))
        days = np.nan_to_num(column(rows, "purchase_days")).tolist()
        recency = column(rows, "recency_days").tolist()
        return [told(*each) for each in zip(R, F, M, days, recency, strict=True)]

    def stage(self, rows: FeatureRows) -> NDArray[np.str_]:
        """One of STAGES a customer, shape (customers,)."""
        H, config = self.config.horizon_days, self.config
        recency, tenure, days = (
            column(rows, name) for name in ("recency_days", "tenure_days", "purchase_days")
        )
        gap = np.nan_to_num(column(rows, "mean_gap_days"))
        usual = column(rows, "spend_365d") * np.clip(ratio(np.full(len(days), 90.0), tenure), 90 / 365, 1)
        trend = ratio(column(rows, "spend_90d"), usual)
        silent = (recency > H) & (recency > config.silent_after_gaps * gap)
        fading = (trend < config.decline) & (gap > 0) & (gap <= config.brisk_gap_days)
        rules = {
            "prospect": ~(days > 0),
            "lost": (recency > config.lost_after_horizons * H) & (recency > config.lost_after_gaps * gap),
            "new": (recency <= H) & ((days == 1) | (tenure <= H)),
            "declining": silent | fading,
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


def told(R: int, F: int, M: int, purchase_days: float, recency_days: float) -> str:
    """One customer's scores in words."""
    if not purchase_days:
        return "no order yet"
    since = f"{recency_days:.0f} day{'' if round(recency_days) == 1 else 's'}"
    lately = f"last order {since} ago" if R >= 3 else f"silent for {since}"
    return f"R {R}, F {F}, M {M}: {bought(F, M, purchase_days)}, {lately}"


def bought(F: int, M: int, purchase_days: float) -> str:
    """How often and how much, by the fifths of the shop."""
    often = "once" if purchase_days == 1 else ("seldom", "now and then", "often")[(F > 2) + (F > 3)]
    much = ("little", "a middling amount", "much")[(M > 2) + (M > 3)]
    alike = (often == "often") == (much == "much")
    return f"bought {often} {'and' if alike else 'but'} {much}"

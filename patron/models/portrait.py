"""A customer's portrait: segment, lifecycle stage, group, loyalty tier and persona, by rules of the shop.

What the rules need of the shop (quintiles, terciles, centres) is learned at fit and kept with them, so that
the service, the batch and training name a customer alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError
from patron.files import publish_json
from patron.models import activity, loyalty, persona
from patron.models.activity import Numbers, column
from patron.models.base import Config, FeatureRows, Model
from patron.models.clusters import AXES, Clusters, ClustersConfig
from patron.models.loyalty import Loyalty, TiersConfig
from patron.models.persona import Persona, PersonaConfig
from patron.models.segments import READS, Segments, SegmentsConfig

PROSPECT = "prospect"
"""Segment, stage and group of who has not ordered yet."""

PERSONA_READS = ("orders_total", "discount_share", "mean_gap_days", "sd_gap_days")
LISTS = {
    "customer_category_affinity:category_names": "Array(String)",
    "customer_category_affinity:category_times_bought": "Array(Int64)",
    "customer_brand_affinity:brand_names": "Array(String)",
    "customer_brand_affinity:brand_times_bought": "Array(Int64)",
}
HABITS = {f"customer_habits:{each}": "Float64" for each in persona.HABITS}
CHANNEL = {"customer_channel:preferred_channel": "String"}


class PortraitConfig(Config):
    """What `configs/models/portrait.toml` may set. Training adds `segments.toml` and `tiers.toml`."""

    kind: Literal["rfm", "recency"] = "rfm"
    """What customers are ordered by to be judged: their segment, or the fifth of recency alone."""
    segments: SegmentsConfig = SegmentsConfig()
    tiers: TiersConfig = TiersConfig()
    clusters: ClustersConfig = ClustersConfig()
    persona: PersonaConfig = PersonaConfig()


class Portrait(Model):
    """All that follows from rules. `means`: what customers of a group spent within the horizon."""

    Config = PortraitConfig

    def __init__(self, config: PortraitConfig | None = None) -> None:
        self.config = config or PortraitConfig()
        self.segments = Segments(self.config.segments)
        self.clusters: Clusters | None = None
        self.thirds: dict[str, list[float]] = {"price": [], "discount": []}
        self.means: dict[str, float] = {}

    @property
    def references(self) -> dict[str, str]:
        """Feast reference -> type of every feature that this model reads."""
        return {**self.learned_from, **LISTS, **CHANNEL}

    @property
    def learned_from(self) -> dict[str, str]:
        """Those of them that a fit reads: numbers that have a history."""
        names = (*READS, *AXES, *PERSONA_READS, *loyalty.asked(self.config.tiers.tiers))
        return {**activity.references(dict.fromkeys(names)), **HABITS}

    def fit(
        self, rows: FeatureRows, clusters: Clusters | None = None, *, seed: int = 0, threads: int = 1
    ) -> Self:
        """Learn quintiles, terciles and groups from the customers of one moment.

        clusters: groups that were found among them before. Raises DataError when none has an order.
        """
        self.segments.fit(rows)
        self.clusters = clusters or Clusters.fit(rows, self.config.clusters, seed=seed)
        self.thirds = persona.learned(rows, self.config.persona)
        return self

    def weigh(self, groups: Sequence[str], spend: NDArray[Any]) -> Self:
        """Learn what a group is worth: the mean of `spend`, shape (customers,), of who was in it."""
        named, values = np.asarray(groups), np.asarray(spend, dtype=np.float64)
        self.means = {str(each): float(values[named == each].mean()) for each in np.unique(named)}
        return self

    def groups(self, rows: FeatureRows) -> NDArray[np.str_]:
        """What customers are ordered by, shape (customers,)."""
        if self.config.kind == "rfm":
            return self.segment(rows)
        R, _, _ = self.segments.scores(rows)
        return np.char.add("R ", R.astype(np.int64).astype(np.str_))

    def worth(self, rows: FeatureRows) -> Numbers:
        """Mean spend of each customer's group within the horizon; 0 for a group that was not seen."""
        return np.array([self.means.get(each, 0.0) for each in self.groups(rows).tolist()])

    def segment(self, rows: FeatureRows) -> NDArray[np.str_]:
        """One of SEGMENTS a customer, 'prospect' without an order. Shape (customers,)."""
        return np.where(column(rows, "purchase_days") > 0, self.segments.segment(rows), PROSPECT)

    def why(self, rows: FeatureRows) -> list[str]:
        """The scores behind each segment in words."""
        return self.segments.why(rows)

    def stage(self, rows: FeatureRows) -> NDArray[np.str_]:
        """One of STAGES a customer. Shape (customers,)."""
        return self.segments.stage(rows)

    def cluster(self, rows: FeatureRows) -> NDArray[np.str_]:
        """The name of each customer's group, 'prospect' without an order. Shape (customers,)."""
        if self.clusters is None:
            raise DataError("This portrait was not fitted. Fit or load one first.")
        return self.clusters.named(rows, PROSPECT)

    def loyalty(self, rows: FeatureRows) -> Loyalty:
        """The loyalty tier of each customer, and what is missing to the next."""
        return loyalty.loyalty(self.config.tiers.tiers, rows)

    def personas(self, rows: FeatureRows) -> list[Persona]:
        """One a customer."""
        return persona.personas(rows, self.config.persona, self.thirds)

    def save(self, folder: Path) -> None:
        if self.clusters is None:
            raise DataError("A portrait that was not fitted cannot be saved.")
        self.clusters.save(folder / "clusters.npz")
        publish_json(
            folder / "portrait.json",
            {
                "config": self.config.model_dump(),
                "edges": self.segments.edges,
                "thirds": self.thirds,
                "means": self.means,
                "groups": self.clusters.facts,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        document = json.loads((folder / "portrait.json").read_text(encoding="utf-8"))
        model = cls(PortraitConfig(**document["config"]))
        model.segments.edges = document["edges"]
        model.thirds, model.means = document["thirds"], document["means"]
        model.clusters = Clusters.load(folder / "clusters.npz")
        model.clusters.facts = document["groups"]
        return model

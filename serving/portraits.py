"""Portraits of customers, computed once for the profile and the batch alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patron.models.loyalty import Loyalty
from patron.models.persona import Persona

if TYPE_CHECKING:
    from features.rows import Rows
    from serving.bootstrap import Served

MODEL = "patron-portrait"


@dataclass(frozen=True)
class PortraitTable:
    """One entry a customer; `prospect` where there is no order yet."""

    segment: list[str]
    segment_reason: list[str | None]
    cluster: list[str]
    stage: list[str]
    loyalty: Loyalty
    personas: list[Persona]


def portrait_table(served: Served, rows: Rows) -> PortraitTable:
    """What the rules of the shop say of these customers."""
    model, columns = served.model, rows.columns
    return PortraitTable(
        segment=model.segment(columns).tolist(),
        segment_reason=model.why(columns),
        cluster=model.cluster(columns).tolist(),
        stage=model.stage(columns).tolist(),
        loyalty=model.loyalty(columns),
        personas=model.personas(columns),
    )

"""What an experiment is: `configs/experiments/<name>.toml`, checked when it is read."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from patron.experiments.design import Design
from patron.models.base import Config
from patron.models.rules import Rules

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Metric = Literal[
    "ordered",
    "orders",
    "revenue",
    "margin",
    "returns",
    "discount",
    "click_rate",
    "cart_rate",
    "conversion_rate",
    "fallback_rate",
]
OF_ORDERS = ("ordered", "orders", "revenue", "margin", "returns", "discount")
"""Told of customers, by their order lines."""
OF_ANSWERS = ("click_rate", "cart_rate", "conversion_rate", "fallback_rate")
"""Told of visitors, by what came of the answers that they were given."""
VERSION_PATTERN = re.compile(r"[0-9A-Za-z_-]{1,40}")
LESS_IS_BETTER = ("returns", "discount", "fallback_rate")
POLICIES = ("champion", "none", "random")
PLACEMENT, MODEL, OFFERS = "placement:", "model:recommender", "policy:offers"
SERVE, VERSION = "serve", "version"
"""Parameters of pages that are no rules: what answers instead of the personal model; which model."""
State = Literal["off", "planned", "running", "ended"]


class Arm(Config):
    """One of the ways to treat a unit."""

    name: Name
    share: float = Field(gt=0, le=1)
    """Of all units of the layer. Raised for all arms by the same factor, it moves nobody."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """What is different. Of a placement: keys of its rules, serve = "popular", version; of the recommender:
    version; of offers: policy."""


class Guardrail(Config):
    """What must not get worse."""

    metric: Metric
    tolerated: float = Field(default=0.02, ge=0, lt=1)
    """How much worse it may be, as a share of the control's mean."""


class Experiment(Config):
    """One experiment. Its first arm is the control."""

    name: Name
    target: str = Field(pattern=r"^(placement:[a-z][a-z0-9_]{0,39}|model:recommender|policy:offers)$")
    """What is treated: `placement:<placement>`, `model:recommender` (every placement) or `policy:offers`."""
    description: str = ""
    enabled: bool = False
    """Nobody is assigned before this is true."""
    starts_at: datetime | None = None
    """With its time zone. Unset: as soon as it is enabled."""
    ends_at: datetime | None = None
    units: Literal["visitors", "customers"] = "visitors"
    """Who is assigned: customers alone, or also sessions that nobody has signed in to."""
    layer: str = ""
    """Experiments of one layer share its units without overlap. Empty: the target."""
    begins_at: float = Field(default=0.0, ge=0, lt=1)
    """Where its units begin on the layer's line from 0 to 1; they reach as far as the arms' shares."""
    salt: str = ""
    """What makes its draw of arms its own. Empty: its name."""
    arms: tuple[Arm, ...] = Field(min_length=2)
    metrics: tuple[Metric, ...] = ("revenue",)
    """What decides. Each shares the error level with the others and with the arms."""
    also: tuple[Metric, ...] = ()
    """What is told beside, and decides nothing."""
    guardrails: tuple[Guardrail, ...] = ()
    window_days: int = Field(default=14, ge=1, le=365)
    """How long after its exposure the outcome of a unit is counted; it counts once this is over."""
    pre_days: int = Field(default=56, ge=0, le=730)
    """How long before the exposure is looked back, to take out what was there before; 0: not at all."""
    alpha: float = Field(default=0.05, gt=0, le=0.2)
    """Chance of a false discovery, over all looks together."""
    planned_units: int = Field(default=10_000, ge=100)
    """Number of units at which the intervals shall be tightest. Chosen before the start."""
    least_units: int = Field(default=100, ge=30)
    """Below so many in an arm nothing is concluded: the intervals hold for large numbers."""

    @field_validator("starts_at", "ends_at")
    @classmethod
    def zoned(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.tzinfo is None:
            raise ValueError("needs its time zone: 2026-01-31T00:00:00Z")
        return moment and moment.astimezone(UTC)

    @model_validator(mode="after")
    def sound(self) -> Self:
        names = [each.name for each in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"two arms have one name: {', '.join(names)}")
        if self.begins_at + self.share > 1 + 1e-9:
            raise ValueError(f"begins_at and the arms' shares make {self.begins_at + self.share:g}, above 1")
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            raise ValueError("ends_at is not after starts_at")
        if self.target == OFFERS and (wrong := [each for each in self.asked if each in OF_ANSWERS]):
            raise ValueError(
                f"{', '.join(wrong)} come of recommendations; offers have {', '.join(OF_ORDERS)}"
            )
        for each in self.arms:
            parameters_of(self.target, each)
        return self

    @property
    def asked(self) -> tuple[str, ...]:
        """Every metric that is read, each once."""
        return tuple(dict.fromkeys([*self.metrics, *(each.metric for each in self.guardrails), *self.also]))

    @property
    def share(self) -> float:
        """Of the layer's units that take part."""
        return sum(each.share for each in self.arms)

    @property
    def shares(self) -> list[float]:
        """Of the units that take part, by arm; they sum to 1."""
        return [each.share / self.share for each in self.arms]

    @property
    def of_layer(self) -> str:
        return self.layer or self.target

    @property
    def design(self) -> str:
        """What may not change while it runs, as exposures keep it."""
        arms = [
            (arm.name, round(share, 9), arm.parameters)
            for arm, share in zip(self.arms, self.shares, strict=True)
        ]
        text = json.dumps([self.salt or self.name, arms], sort_keys=True, default=str)
        treatment = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        end = round(self.begins_at + self.share, 9)
        return Design(treatment, (self.target, self.of_layer), self.begins_at, end, self.units).text

    def state(self, now: datetime) -> State:
        if not self.enabled:
            return "off"
        if self.starts_at and now < self.starts_at:
            return "planned"
        return "ended" if self.ends_at and now >= self.ends_at else "running"


def parameters_of(target: str, arm: Arm) -> dict[str, Any]:
    """What an arm changes, each value as its place has it. Raises ValueError for what the target has not."""
    if target == OFFERS:
        policy = arm.parameters.get("policy", "champion")
        if policy not in POLICIES or set(arm.parameters) - {"policy"}:
            raise ValueError(f"arm {arm.name}: parameters of offers are policy, one of {', '.join(POLICIES)}")
        return {"policy": policy}
    given = dict(arm.parameters)
    known = [VERSION] if target == MODEL else [SERVE, VERSION, *Rules.model_fields]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"arm {arm.name}: no parameter {', '.join(unknown)}. There are: {', '.join(known)}")
    found = {name: given.pop(name) for name in (SERVE, VERSION) if name in given}
    if found.get(SERVE, "popular") != "popular":
        raise ValueError(f"arm {arm.name}: serve can be popular, found {found[SERVE]!r}")
    if not VERSION_PATTERN.fullmatch(str(found.get(VERSION, "1"))):
        raise ValueError(f'arm {arm.name}: version is one of the registry, such as "3"')
    rules = Rules(**given)
    return {**{name: getattr(rules, name) for name in given}, **found}

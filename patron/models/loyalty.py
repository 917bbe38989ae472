"""Tiers of a loyalty programme, by rules of the shop, and how far each customer is from the next one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from patron.models.activity import Numbers, column, filled
from patron.models.base import Config, FeatureRows

MEASURES = (
    *("spend_30d", "spend_90d", "spend_365d", "spend_total"),
    *("orders_30d", "orders_90d", "orders_365d", "orders_total"),
    *("purchase_days", "tenure_days", "units_90d", "distinct_products", "distinct_categories_365d"),
)
"""What a tier may ask for: features of `customer_activity` that grow with loyalty. Returns count."""


class Tier(Config):
    """One tier: its name, and what a customer must reach."""

    name: str = Field(min_length=1)
    reach: Literal["any", "all"] = "any"
    """Whether one of the measures is enough."""
    at_least: dict[str, float] = Field(default_factory=dict)
    """Measure -> the least that counts. Empty: everybody is in it."""

    def reached(self, values: dict[str, Numbers]) -> NDArray[np.bool_]:
        """Who has what the tier asks for. values: measure -> shape (customers,)."""
        size = len(next(iter(values.values())))
        met = [values[name] >= least for name, least in self.at_least.items()]
        if not met:
            return np.ones(size, dtype=bool)
        return np.logical_or.reduce(met) if self.reach == "any" else np.logical_and.reduce(met)

    def mistakes(self) -> list[str]:
        """What is wrong with this tier alone."""
        found = [
            f"tier '{self.name}': no measure '{name}'. There are: {', '.join(MEASURES)}"
            for name in self.at_least
            if name not in MEASURES
        ]
        return found + [
            f"tier '{self.name}': {name} = {least:g}. Ask for more than 0, or leave it out"
            for name, least in self.at_least.items()
            if not 0 < least < np.inf
        ]


SHIPPED = (
    Tier(name="bronze"),
    Tier(name="silver", at_least={"spend_365d": 250, "orders_365d": 6}),
    Tier(name="gold", at_least={"spend_365d": 1000, "orders_365d": 24}),
    Tier(name="platinum", reach="all", at_least={"spend_365d": 3000, "orders_365d": 24}),
)
"""The tiers of `configs/tiers.toml` as it is shipped."""


class TiersConfig(Config):
    """What `configs/tiers.toml` may set."""

    tiers: tuple[Tier, ...] = SHIPPED
    """The lowest first; a customer is in the highest whose measures are reached."""

    @model_validator(mode="after")
    def of_use(self) -> Self:
        """All mistakes together."""
        if found := mistakes(self.tiers):
            raise ValueError("; ".join(found))
        return self


def mistakes(tiers: Sequence[Tier]) -> list[str]:
    """Everything that is wrong with tiers, a line each."""
    if not tiers:
        return ["there is no tier. Name one at least: [[tiers]] name = 'member'"]
    found = [what for tier in tiers for what in tier.mistakes()]
    counted = Counter(tier.name for tier in tiers)
    found += [f"{count} tiers are called '{name}'" for name, count in counted.items() if count > 1]
    for place, tier in enumerate(tiers[1:], 1):
        if not tier.at_least:
            found.append(f"tier '{tier.name}' asks for nothing, so nobody is in those before it")
        found += falling(tier, tiers[:place])
    return found


def falling(tier: Tier, lower: Sequence[Tier]) -> list[str]:
    """Measures of which a tier asks less than one below it, which so would never be left."""
    return [
        f"tier '{tier.name}' asks for {name} = {least:g}, '{each.name}' below it for "
        f"{each.at_least[name]:g}: a higher tier asks for no less"
        for each in lower
        for name, least in tier.at_least.items()
        if name in each.at_least and each.at_least[name] > least
    ]


@dataclass(frozen=True)
class Loyalty:
    """One entry a customer; None where there is no such tier."""

    tier: list[str | None]
    next_tier: list[str | None]
    missing: list[dict[str, float] | None]
    """Measure -> how much is missing to the next tier. Where it asks for `any`, one of them is enough."""


def loyalty(tiers: Sequence[Tier], rows: FeatureRows) -> Loyalty:
    """The tier of each customer. Who has not ordered has 0 of everything."""
    values = {name: filled(column(rows, name)) for name in asked(tiers)}
    place = np.full(len(next(iter(values.values()))), -1)
    for rank, tier in enumerate(tiers):
        place[tier.reached(values)] = rank
    found = place.tolist()
    above = {each + 1 for each in found} - {len(tiers)}
    lacking = {rank: distances(tiers[rank], values) for rank in above}
    names = [None, *(tier.name for tier in tiers), None]
    return Loyalty(
        tier=[names[each + 1] for each in found],
        next_tier=[names[each + 2] for each in found],
        missing=[lacking[each + 1][at] if each + 1 in lacking else None for at, each in enumerate(found)],
    )


def asked(tiers: Sequence[Tier]) -> tuple[str, ...]:
    """The measures that any of the tiers asks for; one at least, so that customers can be counted."""
    return tuple(dict.fromkeys([*(name for tier in tiers for name in tier.at_least), "orders_total"]))


def distances(tier: Tier, values: dict[str, Numbers]) -> list[dict[str, float]]:
    """What each customer lacks of each measure, to the hundredth; what is reached is left out."""
    gaps = {name: np.round(least - values[name], 2).tolist() for name, least in tier.at_least.items()}
    size = len(next(iter(values.values())))
    return [{name: gap[at] for name, gap in gaps.items() if gap[at] > 0} for at in range(size)]

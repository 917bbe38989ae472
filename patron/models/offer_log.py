"""What an offer policy learns from: who was shown what, how probably, and what they did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError
from patron.models.activity import Numbers
from patron.models.base import FeatureRows


@dataclass(frozen=True)
class OfferLog:
    """One entry an exposure; all arrays have the shape (exposures,).

    `rows`: features of each customer as of before the exposure. `offer_id`: `none` where nothing was shown.
    `propensity`: of what was shown. `converted`: whether it was taken up, NaN while nobody knows; `value`: of
    what was bought with it. `ordered` and `margin`: whether the customer ordered, and what all orders of the
    outcome window brought before the cost of the offer: the same for every arm, `none` too.
    """

    rows: FeatureRows
    offer_id: NDArray[Any]
    propensity: Numbers
    converted: Numbers
    value: Numbers
    ordered: Numbers
    margin: Numbers
    randomised: NDArray[np.bool_]
    """Whether chance alone decided what was shown, with the propensity that is told."""
    chances: NDArray[Any] | None = None
    """Of each exposure the propensity of every arm that could be shown then, by offer id; None where that is
    not told: then every arm could."""
    apart: NDArray[np.bool_] | None = None
    """Whether no outcome window of an earlier exposure that counts reaches into this one's. Effects are
    learned from these alone: a customer who is decided on daily is no hundred customers. None: all."""
    rested: NDArray[np.bool_] | None = None
    """Whether the customer was left alone for a whole period. None: nobody."""

    def __post_init__(self) -> None:
        if self.chances is None:
            object.__setattr__(self, "chances", np.full(len(self), None))
        if self.apart is None:
            object.__setattr__(self, "apart", np.ones(len(self), dtype=bool))
        if self.rested is None:
            object.__setattr__(self, "rested", np.zeros(len(self), dtype=bool))
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise DataError(f"The columns of the exposures differ in length: {told}.")

    def __len__(self) -> int:
        return len(self.offer_id)

    def arms(self, groups: Mapping[str, str]) -> tuple[Numbers, dict[str, NDArray[np.bool_]]]:
        """(propensity of the arm that was shown, arm -> where it could have been shown).

        groups: offer -> arm. The chances of the offers of an arm add up; where they are not told, the offer's
        own propensity stands for the arm's.
        """
        known = [None if each is None else by_arm(each, groups) for each in self.told]
        shown = [groups.get(each, each) for each in self.offer_id.tolist()]
        own = [
            chance if told is None else min(told.get(arm, chance), 1.0)
            for told, arm, chance in zip(known, shown, self.propensity.tolist(), strict=True)
        ]
        could = {
            arm: np.array([told is None or told.get(arm, 0.0) > 0 for told in known], dtype=bool)
            for arm in {*shown, *groups.values()}
        }
        return np.array(own, dtype=np.float64), could

    @property
    def trial(self) -> NDArray[np.bool_]:
        """What effects are learned from: drawn at random, with outcome windows apart."""
        return self.randomised if self.apart is None else self.randomised & self.apart

    @property
    def told(self) -> list[Mapping[str, float] | None]:
        """`chances` as a list."""
        return [] if self.chances is None else self.chances.tolist()

    def take(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> OfferLog:
        """These exposures alone."""
        rows = {name: np.asarray(values)[kept] for name, values in self.rows.items()}
        return OfferLog(rows, *(getattr(self, name)[kept] for name in COLUMNS))


COLUMNS = (
    *("offer_id", "propensity", "converted", "value", "ordered", "margin"),
    *("randomised", "chances", "apart", "rested"),
)


def by_arm(chances: Mapping[str, float], groups: Mapping[str, str]) -> dict[str, float]:
    """Arm -> the chances of its offers together."""
    found: dict[str, float] = {}
    for offer_id, chance in chances.items():
        arm = groups.get(offer_id, offer_id)
        found[arm] = found.get(arm, 0.0) + chance
    return found

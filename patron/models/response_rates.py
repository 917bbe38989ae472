"""Response rates of offers by segment, from few exposures: every level leans on the one above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError
from patron.offers.terms import NONE

Exposures = Mapping[str, NDArray[Any]]
"""offer_id, segment, converted and value (of converted ones): one entry an exposure."""

COLUMNS = ("offer_id", "segment", "converted", "value")


@dataclass
class Tally:
    """How often something was shown, converted, and for how much."""

    shown: float = 0.0
    converted: float = 0.0
    value: float = 0.0

    def add(self, other: Tally) -> None:
        self.shown += other.shown
        self.converted += other.converted
        self.value += other.value


@dataclass(frozen=True)
class Response:
    """What an arm does in a segment: P(convert), mean value of a conversion, exposures behind it."""

    rate: float
    value: float
    shown: int


@dataclass
class ResponseRates:
    """Tallies of (segment, offer), shrunk segment x offer -> segment x group -> group -> overall -> prior.

    A level with n exposures and c conversions has the rate (c + strength * parent's) / (n + strength): the
    mean of a Beta whose prior is the parent's rate worth `strength` exposures. Values of conversions are
    shrunk alike, by conversions. `none` is a group of its own that leans on nothing but its own total.
    An offer never shown gets its group's rate, or that of all offers: worth a try, and `epsilon` of decisions
    tell. A policy that chooses by segment alone leaves the rates within a segment unbiased without weighting.
    """

    groups: dict[str, str]
    prior_rate: float = 0.02
    strength: float = 50.0
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)

    @classmethod
    def fit(cls, exposures: Exposures, groups: Mapping[str, str], prior_rate: float, strength: float) -> Self:
        """Count. groups: offer -> group. No exposure is fine; those without an outcome yet are left out.

        Raises DataError when columns are missing or differ in length.
        """
        rates = cls({**groups, NONE: NONE}, prior_rate, strength)
        if not exposures:
            return rates
        absent = [name for name in COLUMNS if name not in exposures]
        if absent:
            raise DataError(f"Exposures lack {', '.join(absent)}. They need {', '.join(COLUMNS)}.")
        if len({len(exposures[name]) for name in COLUMNS}) > 1:
            raise DataError("The columns of the exposures differ in length.")
        for offer, segment, converted, value in zip(*(exposures[name] for name in COLUMNS), strict=True):
            outcome = number(converted)
            if not np.isnan(outcome):
                gained = np.nan_to_num(number(value)) if outcome > 0 else 0.0
                key = (str(segment), str(offer))
                rates.tallies.setdefault(key, Tally()).add(Tally(1.0, float(outcome > 0), float(gained)))
        return rates

    @property
    def causal(self) -> bool:
        """Whether some customers were left without an offer, so that uplift can be told."""
        return any(offer == NONE for _, offer in self.tallies)

    def response(self, segment: str, offer: str) -> Response:
        """Shrunk response; a segment or offer never seen gets its parent's."""
        group = self._group(offer)
        levels = [
            self._sum(lambda _, other: (other == NONE) == (offer == NONE)),
            self._sum(lambda _, other: self._group(other) == group),
            self._sum(lambda where, other: where == segment and self._group(other) == group),
            self.tallies.get((segment, offer), Tally()),
        ]
        rate, value = self.prior_rate, levels[0].value / max(levels[0].converted, 1.0)
        for above, level in zip([Tally(-1.0), *levels], levels, strict=False):
            if level.shown == above.shown:
                continue  # the same exposures: they count once
            rate = (level.converted + self.strength * rate) / (level.shown + self.strength)
            value = (level.value + VALUE_STRENGTH * value) / (level.converted + VALUE_STRENGTH)
        return Response(rate, value, int(levels[-1].shown))

    def _group(self, offer: str) -> str:
        """The offer's group; one without terms is a group of its own."""
        return self.groups.get(offer, f"only {offer}")

    def _sum(self, chosen: Callable[[str, str], bool]) -> Tally:
        total = Tally()
        for (segment, offer), tally in self.tallies.items():
            if chosen(segment, offer):
                total.add(tally)
        return total

    def document(self) -> dict[str, Any]:
        """As JSON: a list of [segment, offer, shown, converted, value]."""
        counts = [
            [*key, each.shown, each.converted, each.value] for key, each in sorted(self.tallies.items())
        ]
        return {
            "groups": self.groups,
            "prior_rate": self.prior_rate,
            "strength": self.strength,
            "counts": counts,
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` wrote."""
        tallies = {(segment, offer): Tally(*counts) for segment, offer, *counts in document["counts"]}
        return cls(document["groups"], document["prior_rate"], document["strength"], tallies)


VALUE_STRENGTH = 10.0
"""Conversions that the parent's mean value is worth."""


def number(value: Any) -> float:
    """A float; None is NaN."""
    return np.nan if value is None else float(value)

"""What of an experiment may not change once somebody was exposed: kept with every exposure, so that it shows.

The treatment: arms, their ratio, what they do, and the draw. And who takes part: the part of a layer's line,
which may grow and never shrink or move, else exposed units lose their arm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

TOLERANCE = 1e-9
"""Of places on the line: sums of shares."""


class Design(NamedTuple):
    treatment: str
    """A hash."""
    line: tuple[str, str] | None = None
    """Target and layer; None where the exposure was noted before lines were kept."""
    begins_at: float = 0.0
    ends_at: float = 1.0
    units: str = "visitors"

    @property
    def text(self) -> str:
        """As exposures keep it."""
        return self.treatment if self.line is None else json.dumps(self, separators=(",", ":"))

    @classmethod
    def of(cls, text: str) -> Design:
        """What `text` told."""
        if not text.startswith("["):
            return cls(text)
        treatment, (target, layer), *rest = json.loads(text)
        return cls(treatment, (target, layer), *rest)

    def keeps(self, before: Design) -> bool:
        """Whether every unit that took part before still does."""
        if self.line is None or before.line is None:
            return True
        return (
            self.line == before.line
            and self.begins_at <= before.begins_at + TOLERANCE
            and self.ends_at >= before.ends_at - TOLERANCE
            and self.units in (before.units, "visitors")
        )


def history(exposed: Iterable[str], present: str) -> list[Design]:
    """Designs of exposures in their order, each once, the present one at the end; empty without any."""
    found = list(dict.fromkeys(exposed))
    if found and found[-1] != present:
        found.append(present)
    return [Design.of(each) for each in found]


def retreated(designs: Sequence[Design]) -> bool:
    """Whether arms, their ratio, their parameters or the draw differ among them."""
    return len({each.treatment for each in designs}) > 1


def moved(designs: Sequence[Design]) -> bool:
    """Whether exposed units fell out on the way. designs: as `history` gives them."""
    return any(not after.keeps(before) for before, after in pairwise(designs))

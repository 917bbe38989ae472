"""Who gets which arm: by hash, so that a unit stays with its arm on every machine and after every restart.

Two draws of a unit, each a hash. The layer's tells where the unit stands on the layer's line from 0 to 1;
experiments of one layer hold parts of that line which do not overlap, so that no unit is in two of them. The
experiment's own tells the arm. As the second knows nothing of the first, an experiment that is given a larger
part of the line takes in more units and moves none, as long as the ratio of its arms stays.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate, combinations
from pathlib import Path
from typing import Any

from patron.errors import ConfigurationError
from patron.experiments.terms import VERSION, Experiment, parameters_of
from patron.models.rule_files import rules_of

SCALE = 2.0**-64
FOLDER = "experiments"
"""Where experiments stand, in the folder of the configs."""


@dataclass(frozen=True)
class Assignment:
    """The arm of a unit and what it changes. `design`: of the experiment, as it was drawn."""

    experiment: str
    arm: str
    parameters: Mapping[str, Any]
    design: str = ""
    customers_only: bool = False

    @property
    def label(self) -> str:
        """As answers name it."""
        return f"{self.experiment}:{self.arm}"


@dataclass(frozen=True)
class Drawn:
    """An experiment, ready to be asked: its part of the layer's line, and where each arm ends."""

    experiment: Experiment
    layer: bytes
    salt: bytes
    start: float
    end: float
    ends: Sequence[float]
    arms: Sequence[Assignment]

    @classmethod
    def of(cls, experiment: Experiment) -> Drawn:
        only = experiment.units == "customers"
        return cls(
            experiment,
            key("layer", experiment.of_layer),
            key("arm", experiment.salt or experiment.name),
            experiment.begins_at,
            experiment.begins_at + experiment.share,
            list(accumulate(experiment.shares))[:-1],
            [
                Assignment(
                    experiment.name,
                    each.name,
                    parameters_of(experiment.target, each),
                    experiment.design,
                    only,
                )
                for each in experiment.arms
            ],
        )

    def arm_of(self, unit: bytes) -> Assignment | None:
        """None for a unit that takes no part."""
        if not self.start <= place(self.layer, unit) < self.end:
            return None
        return self.arms[bisect_right(self.ends, place(self.salt, unit))]


def key(purpose: str, name: str) -> bytes:
    """A hash's key: 16 bytes that no other purpose or name has."""
    return hashlib.blake2b(f"{purpose}\0{name}".encode(), digest_size=16).digest()


def place(salt: bytes, unit: bytes) -> float:
    """Where a unit stands, in [0, 1): evenly spread, and different under every salt."""
    return int.from_bytes(hashlib.blake2b(unit, digest_size=8, key=salt).digest(), "big") * SCALE


@dataclass(frozen=True)
class Experiments:
    """Every experiment of a shop, by its name. Asking for the arm of a unit writes nothing."""

    known: Mapping[str, Experiment] = field(default_factory=dict)
    _drawn: Mapping[str, Sequence[Drawn]] = field(default_factory=dict)

    @classmethod
    def of(cls, experiments: Iterable[Experiment]) -> Experiments:
        """Raises ValueError where two of them would treat the same unit."""
        known = {each.name: each for each in experiments}
        enabled = [each for each in known.values() if each.enabled]
        for one, other in combinations(enabled, 2):
            refuse_overlap(one, other)
        drawn: dict[str, list[Drawn]] = {}
        for each in enabled:
            drawn.setdefault(each.target, []).append(Drawn.of(each))
        return cls(known, drawn)

    @classmethod
    def load(cls, folder: Path) -> Experiments:
        """Of every file in `folder`; none where there is no folder. Raises ConfigurationError."""
        found = [rules_of(path, Experiment, name=path.stem) for path in sorted(folder.glob("*.toml"))]
        try:
            return cls.of(found)
        except ValueError as error:
            raise ConfigurationError(f"{folder}: {error}") from None

    def assigned(self, target: str, unit_id: str, now: datetime, customer: bool = True) -> Assignment | None:
        """The arm of a unit in the experiment that runs on a target; None where it is in none.

        customer: whether the unit is a customer, rather than a session.
        """
        drawn = self._drawn.get(target)
        if drawn is None:
            return None
        unit = unit_id.encode()
        for each in drawn:
            if each.experiment.state(now) == "running" and (customer or not each.arms[0].customers_only):
                found = each.arm_of(unit)
                if found is not None:
                    return found
        return None

    @property
    def versions(self) -> dict[str, set[str]]:
        """Experiment -> versions of a model that its arms need, of those that are enabled."""
        return {
            each.name: {str(arm.parameters[VERSION]) for arm in each.arms if VERSION in arm.parameters}
            for each in self.known.values()
            if each.enabled
        }

    def without(self, names: Collection[str]) -> Experiments:
        """The same, those of these names switched off."""
        off = [
            each.model_copy(update={"enabled": False}) for each in self.known.values() if each.name in names
        ]
        return Experiments.of([*(each for each in self.known.values() if each.name not in names), *off])

    def on(self, target: str) -> bool:
        """Whether anything is enabled there: what most requests need to know."""
        return target in self._drawn

    def named(self, name: str) -> Experiment:
        """Raises ConfigurationError that lists those there are."""
        if name not in self.known:
            there = ", ".join(sorted(self.known)) or "none; write configs/experiments/<name>.toml"
            raise ConfigurationError(f"No experiment {name}. There are: {there}")
        return self.known[name]


def refuse_overlap(one: Experiment, other: Experiment) -> None:
    """Raise ValueError where both could treat one unit at one time."""
    if not at_once(one, other):
        return
    if one.of_layer != other.of_layer:
        if one.target == other.target:
            raise ValueError(
                f"{one.name} and {other.name} treat {one.target} from two layers, {one.of_layer} and "
                f"{other.of_layer}. Give both one layer."
            )
        return
    first, second = sorted((one, other), key=lambda each: each.begins_at)
    if first.begins_at + first.share > second.begins_at + 1e-9:
        raise ValueError(
            f"{first.name} and {second.name} overlap in layer {one.of_layer}: the first reaches to "
            f"{first.begins_at + first.share:g}. Let {second.name} begin there (begins_at), or give it a "
            "layer of its own if it has another target."
        )


def at_once(one: Experiment, other: Experiment) -> bool:
    """Whether there is a moment in which both may run."""
    return not (
        (one.ends_at and other.starts_at and one.ends_at <= other.starts_at)
        or (other.ends_at and one.starts_at and other.ends_at <= one.starts_at)
    )

"""What a training job is: data of fixed windows, candidates, one judgement on the last window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from copy import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from patron.models.base import Config, Model, configured
from patron.settings import Settings
from training.bootstrap import Judgement
from training.gate import Limits, Verdict, decide

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Trial

WHOLE = "all"
"""The part of a job that is tuned as one."""


class Job(ABC):
    """One model's training. Opening it reads the data; nothing is fitted yet.

    `kinds` are the candidates by name; `baseline` is the honest one that stands in every table and ships
    where nothing beats it. `overrides` win over `configs/models/<short>.toml` (tuning).
    """

    short: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    baseline: ClassVar[str]
    primary: ClassVar[str]

    cutoff: datetime
    """The shipped model saw nothing at or after this."""
    test: datetime
    """The judged twin saw nothing at or after this; it is judged on what follows."""
    horizon_days: int

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        self.settings = settings
        self.overrides = overrides or {}
        self.say: Callable[[str], None] = lambda what: None
        """Told what is being done, for people who wait."""

    @property
    def name(self) -> str:
        return f"patron-{self.short}"

    def config(self, **more: Any) -> tuple[type[Model], Config]:
        """The configured model class and its config, with this job's overrides."""
        path = self.settings.configs / "models" / f"{self.short}.toml"
        return configured(path, **{**self.overrides, **more})

    def rules(self) -> dict[str, Any]:
        """What is made also depends on these, which stand in files beside `configs/models`."""
        return {}

    def with_overrides(self, overrides: dict[str, Any]) -> Self:
        """The same job on the data already read, with other overrides and nothing fitted yet."""
        other = copy(self)
        other.overrides = overrides
        other.forget()
        return other

    def forget(self) -> None:  # noqa: B027 - nothing to forget is a fine default
        """Drop whatever was fitted with the overrides of before."""

    @abstractmethod
    def fit(self, kind: str, shipped: bool) -> Model:
        """Fit a candidate: the judged twin, or the one to ship, which also saw the test window."""

    @abstractmethod
    def choose(self) -> tuple[str, dict[str, float]]:
        """The candidate that does best before the test window, and each one's score there."""

    def simpler(self, kind: str) -> str | None:
        """The candidate that ships in the place of `kind` unless `kind` is shown to be better."""
        return None

    @abstractmethod
    def validate(self) -> float:
        """Score of the whole on the validation window; tuning keeps what makes it larger."""

    @abstractmethod
    def judge(self, model: Model) -> Judgement:
        """How a model that saw nothing of it does on the test window."""

    def verdict(
        self,
        challenger: Judgement,
        baseline: Judgement | None,
        champion: Judgement | None,
        allowed: Limits,
    ) -> Verdict:
        """What the gate says."""
        return decide(challenger, baseline, champion, allowed, self.settings.seed)

    def evidence(self, model: Model) -> dict[str, Any]:
        """What the data can and cannot show of a judged model, where metrics alone would mislead."""
        return {}

    @abstractmethod
    def figures(self, model: Model) -> dict[str, Figure]:
        """Plots of a judged model, by file name without its ending."""

    @abstractmethod
    def references(self, model: Model) -> dict[str, str]:
        """Feast reference -> type of every feature that the model reads."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the run and the model card say about the data: windows, counts, what is missing."""

    def parts(self) -> tuple[str, ...]:
        """What is tuned apart from the rest, each in a study of its own."""
        return (WHOLE,)

    @abstractmethod
    def space(self, trial: Trial, part: str) -> dict[str, Any]:
        """Overrides that a tuning trial of a part suggests."""

    def attempt(self, part: str, overrides: dict[str, Any]) -> Iterator[float]:
        """Fit a part with overrides and score it on the validation window; NaN where that cannot be.

        Scores are of ever more customers, the last one of all: a trial that begins badly is given up.
        """
        yield self.with_overrides(overrides).validate()

    def basis(self, part: str) -> dict[str, Any]:
        """Settings outside a part that its score depends on: with others its trials cannot be compared."""
        return {}

    def warnings(self) -> list[str]:
        """What a reader of the model card must know about this data."""
        return []

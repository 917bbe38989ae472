"""The gate: a challenger becomes champion only where the last window says that it is better, and sound."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, field_validator

from patron.artifacts import NAMES
from patron.errors import ConfigurationError
from training.bootstrap import Interval, Judgement, difference


class Limits(BaseModel):
    """What one model must keep to; `configs/gates.toml` sets it per model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bounds: dict[str, tuple[float, float]] = {}
    """Metric -> lowest and highest value allowed."""
    slice_loss: float = 0.02
    """How much worse than the champion any named slice may be, in the primary metric."""
    slice_customers: int = 100
    """Slices with fewer customers are too noisy to judge."""

    @field_validator("bounds")
    @classmethod
    def ordered(cls, bounds: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for metric, (low, high) in bounds.items():
            if not low <= high:
                raise ValueError(f"{metric}: the lowest value allowed, {low}, is above the highest, {high}")
        return bounds


@dataclass
class Verdict:
    passed: bool
    reasons: list[str] = field(default_factory=list)
    against: dict[str, Interval] = field(default_factory=dict)
    """Rival -> paired interval of the difference in the primary metric."""

    def refuse(self, reason: str) -> None:
        self.passed = False
        self.reasons.append(reason)


def limits(configs: Path, short: str) -> Limits:
    """The limits of one model. Raises ConfigurationError when the file is wrong."""
    path = configs / "gates.toml"
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        known = [each.removeprefix("patron-") for each in NAMES]
        if unknown := sorted(set(found) - set(known)):
            raise ValueError(f"no model {', '.join(unknown)}. There are: {', '.join(known)}")
        return Limits.model_validate(found.get(short, {}))
    except ValueError as error:  # tomllib.TOMLDecodeError and ValidationError among them
        raise ConfigurationError(f"{path}: {error}") from None


def decide(
    challenger: Judgement, baseline: Judgement | None, champion: Judgement | None, allowed: Limits, seed: int
) -> Verdict:
    """Better than the baseline and the champion by paired bootstrap, within bounds, no slice much worse.

    Against the baseline the interval must exclude 0. Against the champion the difference must be positive and
    the interval must exclude a loss larger than `slice_loss`: a fresher model need not be a better recipe.
    """
    if not challenger.customers:
        return Verdict(True, ["Nothing happened on the last window: there is nothing to judge it by."])
    verdict = Verdict(True)
    name = challenger.primary
    if baseline is not None:
        gap = verdict.against["baseline"] = difference(challenger, baseline, seed)
        says = f"{name} is {gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) against the baseline"
        if gap.low > 0:
            verdict.reasons.append(f"{says}: better.")
        else:
            verdict.refuse(f"{says}: not shown to be better.")
    if champion is not None:
        gap = verdict.against["champion"] = difference(challenger, champion, seed)
        says = f"{name} is {gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) against the champion"
        if gap.value > 0 and gap.low > -allowed.slice_loss:
            verdict.reasons.append(f"{says}: better.")
        else:
            verdict.refuse(f"{says}: not better.")
        judge_slices(verdict, challenger, champion, allowed)
    judge_bounds(verdict, challenger.metrics, allowed)
    return verdict


def judge_bounds(verdict: Verdict, metrics: dict[str, float], allowed: Limits) -> None:
    for metric, (low, high) in allowed.bounds.items():
        found = metrics.get(metric, float("nan"))
        if metric == "expected_calibration_error":
            high = max(high, metrics.get("calibration_band", high))  # so much is chance at this window's size
        if not low <= found <= high:
            verdict.refuse(f"{metric} is {found:.4f}, outside {low} to {high}.")


def judge_slices(verdict: Verdict, challenger: Judgement, champion: Judgement, allowed: Limits) -> None:
    for name, indices in challenger.slices.items():
        if len(indices) < allowed.slice_customers:
            continue
        ours = challenger.measure(indices)[challenger.primary]
        theirs = champion.measure(indices)[champion.primary]
        if ours < theirs - allowed.slice_loss:
            verdict.refuse(f"Slice '{name}' falls from {theirs:.4f} to {ours:.4f} in {challenger.primary}.")

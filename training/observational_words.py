"""The sentences of a diagnosis: what the data can show, what they cannot, and why."""

from __future__ import annotations

from training.off_policy import Value

LEAST_OVERLAP = 0.5
"""Share of rows with overlap under which the effect is that of too particular a few."""


def cannot(
    overlap: float, unbalanced: int, features: int, placebo: Value | None, effect: Value | None, outcome: str
) -> list[str]:
    """Every check that failed; nothing where all held."""
    found = []
    if effect is None:
        found.append(
            f"No effect on {outcome} can be estimated: features tell almost surely who was treated, and too "
            "few treated and untreated rows are alike."
        )
    if overlap < LEAST_OVERLAP:
        found.append(
            f"Only {overlap:.0%} of rows could as well have been treated or not: the rest has nobody to be "
            "compared with, and the effect on them is not known."
        )
    if unbalanced:
        found.append(
            f"{unbalanced} of {features} features still differ by more than 0.1 standard deviations after "
            "weighting: treated and others are not alike even in what is known of them."
        )
    if placebo is None:
        found.append(
            "No time before the treatment was given to try the estimate on: targeting is not ruled out."
        )
    elif not placebo.low <= 0 <= placebo.high:
        found.append(
            f"The estimate finds an effect of {told(placebo)} before the treatment began, where there was "
            "none: customers were chosen by something that the features do not hold."
        )
    return found


def shown(effect: Value | None, strength: tuple[float, float], trusted: bool, outcome: str) -> list[str]:
    """What may be said."""
    if effect is None:
        return ["How treated and other customers differed before the treatment."]
    held = "every check held" if trusted else "checks failed, see what cannot be shown"
    found = [f"Treated rows differ in {outcome} by {told(effect)} after adjustment; {held}."]
    if effect.low <= 0 <= effect.high:
        return [*found, "The interval holds 0: an effect of either sign, or none, agrees with these data."]
    if trusted:
        found.append(
            f"An unknown cause would have to go with both the treatment and {outcome} by a risk ratio of "
            f"{strength[0]:.2f} to explain the effect away, {strength[1]:.2f} to bring its interval to 0."
        )
    return found


def limits(features: int, strength: tuple[float, float]) -> list[str]:
    """What no check can settle."""
    found = f"Causes outside the {features} features: only leaving customers out at random rules them out."
    if strength[1] > 1:
        found += f" One with risk ratios of {strength[1]:.2f} would be enough to bring the interval to 0."
    return [found]


def told(value: Value) -> str:
    return f"{value.value:+,.2f} [{value.low:+,.2f}, {value.high:+,.2f}]"

"""The gate of offer policies: a log that tells their value, and a value that is shown to be higher."""

from __future__ import annotations

from training.bootstrap import Judgement, difference, intervals
from training.gate import Limits, Verdict, judge_bounds


def decide(
    challenger: Judgement, baseline: Judgement | None, champion: Judgement | None, allowed: Limits, seed: int
) -> Verdict:
    """Enough effective samples, better than the baseline, its lower bound over the champion's estimate.

    Where nothing was drawn at random no policy can be told to be better than another; then what explores may
    go on, and the reasons say so.
    """
    if not challenger.customers:
        reason = (
            "Nothing of the last window was drawn at random: no policy's value can be told. "
            "What explores goes on, so that it can be."
        )
        return Verdict(True, [reason])
    verdict, name = Verdict(True), challenger.primary
    metrics = challenger.metrics
    judge_bounds(verdict, metrics, allowed)
    if not metrics.get("conclusive", 1.0):
        verdict.refuse(
            f"The log cannot tell what this policy earns: {metrics['effective_samples']:,.0f} effective "
            f"samples, weights average {metrics['mean_weight']:.2f}. See evidence.json."
        )
    if baseline is not None:
        gap = verdict.against["baseline"] = difference(challenger, baseline, seed)
        says = f"{name} is {gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}) against the baseline"
        told(verdict, gap.low > 0, f"{says}: better.", f"{says}: not shown to be better.")
    if champion is not None:
        verdict.against["champion"] = difference(challenger, champion, seed)
        found, theirs = intervals(challenger, seed)[name], champion.metrics[name]
        says = f"the lower bound of {name}, {found.low:.4f}, is {{}} the champion's estimate, {theirs:.4f}"
        told(verdict, found.low > theirs, f"{says.format('over')}.", f"{says.format('not over')}.")
    return verdict


def told(verdict: Verdict, good: bool, why: str, why_not: str) -> None:
    if good:
        verdict.reasons.append(why)
    else:
        verdict.refuse(why_not)

"""The model card of a run: what the model is for, how it was judged, and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.bootstrap import Interval
from training.gate import Verdict

USES = {
    "patron-recommender": "Ranks the catalogue for a customer. Not for prices or credit.",
    "patron-churn": "Estimates who will not order within the horizon. A risk is no reason to send an offer: "
    "whom it helps is another question.",
    "patron-lifetime-value": "Estimates what a customer will spend within a horizon, net of returns.",
    "patron-portrait": "Names a customer's segment, stage, group, loyalty tier and habits by rules of the "
    "shop. Names describe what was bought; they are no forecast, and no judgement of a person.",
    "patron-replenishment": "Tells which products a customer may need again, when, and how likely. An "
    "interval is what is usual, no promise that the product is used up.",
    "patron-offers": "Chooses an offer, or none, by what it adds to the margin beside leaving the customer "
    "alone, with shares of chance so that effects can be measured. Where nothing was drawn at random effects "
    "are not known, and the policy says so. It sets no personal prices.",
}


def card(
    name: str,
    kind: str,
    facts: Mapping[str, Any],
    measured: Mapping[str, Interval],
    others: Mapping[str, Mapping[str, float]],
    verdict: Verdict,
    warnings: Sequence[str],
    parameters: Mapping[str, Any],
) -> str:
    """Markdown text of the card."""
    lines = [f"# {name}: {kind}", "", USES[name], "", "## Data", ""]
    lines += [f"- {key.replace('_', ' ')}: {value}" for key, value in facts.items()]
    lines += ["", "## On the last, untouched window", ""]
    names = list(others)
    lines += [f"| metric | {kind} | 95% interval | {' | '.join(names)} |", "|---" * (3 + len(names)) + "|"]
    for metric, found in measured.items():
        beside = " | ".join(f"{others[each].get(metric, float('nan')):.4f}" for each in names)
        lines.append(f"| {metric} | {found.value:.4f} | {found.low:.4f} .. {found.high:.4f} | {beside} |")
    lines += ["", "## Gate", "", "Passed." if verdict.passed else "Refused.", ""]
    lines += [f"- {reason}" for reason in verdict.reasons]
    if warnings:
        lines += ["", "## Beware", "", *(f"- {each}" for each in warnings)]
    lines += ["", "## Parameters", "", *(f"- {key}: {value}" for key, value in parameters.items())]
    lines += [
        "",
        "Intervals are percentile bootstraps over customers. The registered model is the judged recipe "
        "fitted once more with the test window included; `evaluated/` holds its judged twin.",
    ]
    return "\n".join(lines) + "\n"

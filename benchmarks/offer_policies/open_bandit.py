"""The Open Bandit data: what a Thompson policy earns, told from the log of a random one, and the way back.

Two logs of one week of the same shop's men's campaign: one showed items uniformly, one by Thompson sampling.
Every row is one item at one of three places. The judged policies:

- `logged Thompson`: the shop's own. Its chances of (place, item) are how often its log showed the item there:
  chances of items that were not shown were never logged, and the mean of those that were, given that they
  were shown, overstates them. So it is the policy as it was on average over the week. No click of its log is
  read; its click rate there is what the estimate is held against.
- `learned Thompson`: ours, Beta-Bernoulli, of the clicks and showings of the Thompson log, per item; judged
  on the random log, which it has not seen. Nothing is known of its true click rate.
- `uniform` from the Thompson log, by the chances that it logged: the way back. Weights reach 178, yet the log
  kept enough of everything to tell; the estimate is held against the random log's click rate.
- `uniform, chances rebuilt`: the same, by chances that Thompson sampling would have at the week's end, as if
  none had been logged. They are not those with which items were shown: a log that cannot be used.
- `rarest item`: always the item that the Thompson log showed least: a log that cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

FOLDS = 5
BELIEF = (1.0, 200.0)
"""Clicks and no clicks believed before an item was seen: half a percent, worth 201 showings."""
LEAST_CHANCE = 1e-4
"""Of a rebuilt chance: shares are counted over 1,024 draws."""
PUBLISHED = 0.0069
"""On-policy click rate of the Thompson log; its 95% interval reaches 0.16% to either side."""
ESTIMATORS = ("ips", "snips", "dr")


def measured(folder: Path) -> dict[str, Any]:
    """Every policy judged from the other's log. `folder` holds random/men.csv.gz and bts/men.csv.gz."""
    random, thompson = (read(folder / name / "men.csv.gz") for name in ("random", "bts"))
    places, items = (
        max(int(log[name].max()) for log in (random, thompson)) + 1 for name in ("place", "item")
    )
    uniform = np.full((places, items), 1 / items)
    logged = frequencies(thompson, places, items)
    return {
        "data": {
            "rows": {"random": len(random["click"]), "thompson": len(thompson["click"])},
            "items": items,
        },
        "on_policy": {"random": on_policy(random), "thompson": on_policy(thompson)},
        "policies": [
            judged("logged Thompson", "random", random, logged),
            judged("learned Thompson", "random", random, learned(thompson, places, items)),
            judged("uniform", "thompson", thompson, uniform),
            judged("uniform, chances rebuilt", "thompson", rebuilt(thompson, places, items), uniform),
            judged("rarest item", "thompson", thompson, rarest(thompson, places, items)),
        ],
    }


def read(path: Path) -> dict[str, NDArray[Any]]:
    """Columns of one log: click 0/1, item and place from 0, and the chance with which the item was shown."""
    import pandas as pd

    table = pd.read_csv(path, usecols=["item_id", "position", "click", "propensity_score"])
    return {
        "item": table["item_id"].to_numpy(),
        "place": table["position"].to_numpy() - 1,
        "click": table["click"].to_numpy(dtype=np.float64),
        "propensity": table["propensity_score"].to_numpy(),
    }


def frequencies(log: dict[str, NDArray[Any]], places: int, items: int) -> Numbers:
    """How often each item was shown at each place: (places, items), rows add up to 1."""
    shown = np.bincount(log["place"] * items + log["item"], minlength=places * items).reshape(places, items)
    return np.asarray(shown / shown.sum(axis=1, keepdims=True))


def learned(log: dict[str, NDArray[Any]], places: int, items: int) -> Numbers:
    """P(an item is drawn) by Thompson sampling after what a log taught, the same at every place."""
    from patron.offers.exploration import thompson_shares

    shown = np.bincount(log["item"], minlength=items)
    clicks = np.bincount(log["item"], weights=log["click"], minlength=items)
    shares = thompson_shares(clicks, shown - clicks, np.ones(items), np.zeros(items), BELIEF)
    return np.tile(shares, (places, 1))


def rebuilt(log: dict[str, NDArray[Any]], places: int, items: int) -> dict[str, NDArray[Any]]:
    """The log, its chances replaced by those of Thompson sampling after all of it; never 0."""
    chances = learned(log, places, items)[log["place"], log["item"]]
    return {**log, "propensity": np.maximum(chances, LEAST_CHANCE)}


def rarest(log: dict[str, NDArray[Any]], places: int, items: int) -> Numbers:
    """Always the item that was shown least."""
    chances = np.zeros((places, items))
    chances[:, np.bincount(log["item"], minlength=items).argmin()] = 1
    return chances


def on_policy(log: dict[str, NDArray[Any]]) -> dict[str, float]:
    """The click rate that a log saw, and how far its 95% interval reaches to either side."""
    rate, rows = float(log["click"].mean()), len(log["click"])
    return {"value": rate, "reach": 1.96 * float(np.sqrt(rate * (1 - rate) / rows))}


def judged(name: str, source: str, log: dict[str, NDArray[Any]], chances: Numbers) -> dict[str, Any]:
    """One policy's value from one log, by every estimator. chances: (places, items)."""
    from training import off_policy

    rates = click_rates(log, chances.shape[1])
    rows = np.arange(len(rates))
    found = off_policy.estimate(
        log["click"],
        log["propensity"],
        chances[log["place"], log["item"]],
        model_taken=rates[rows, log["item"]],
        model_target=(rates * chances[log["place"]]).sum(axis=1),
    )
    return {"policy": name, "log": source, **found.document()}


def click_rates(log: dict[str, NDArray[Any]], items: int) -> Numbers:
    """Expected click of every (row, item), of the rows of other folds only: shrunk towards the belief."""
    fold = np.random.default_rng(0).integers(FOLDS, size=len(log["item"]))
    rates = np.zeros((FOLDS, items))
    for each in range(FOLDS):
        others = fold != each
        shown = np.bincount(log["item"][others], minlength=items)
        clicks = np.bincount(log["item"][others], weights=log["click"][others], minlength=items)
        rates[each] = (clicks + BELIEF[0]) / (shown + sum(BELIEF))
    return np.asarray(rates[fold])


def bars(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What was asked for, and what was reached."""
    forward, _, back, *hopeless = document["policies"]
    for name in ESTIMATORS:
        yield covers(name, forward)
    for name in ESTIMATORS:
        yield agrees(name, back, document["on_policy"]["random"])
    for each in hopeless:
        yield {
            "bar": f"a hopeless log is refused: {each['policy']} from the {each['log']} log",
            "reached": each["why"],
            "met": not each["concludes"],
        }


def covers(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Whether the interval from the random log holds the Thompson policy's published click rate."""
    value = found[name]
    return {
        "bar": f"{name.upper()} of the Thompson policy covers its on-policy click rate, {PUBLISHED:.2%}",
        "reached": f"{percent(value)}, {found['effective_samples']:,.0f} effective samples",
        "met": found["concludes"] and value["low"] <= PUBLISHED <= value["high"],
    }


def agrees(name: str, found: dict[str, Any], seen: dict[str, float]) -> dict[str, Any]:
    """Whether the way back is as far from the random log's click rate as both their errors allow."""
    value, reach = found[name], float(np.hypot(1.96 * found[name]["error"], seen["reach"]))
    return {
        "bar": f"{name.upper()} of the random policy agrees with its {seen['value']:.2%} within both errors",
        "reached": f"{percent(value)}, {found['effective_samples']:,.0f} effective samples",
        "met": found["concludes"] and abs(value["value"] - seen["value"]) <= reach,
    }


def percent(found: dict[str, float]) -> str:
    return f"{found['value']:.2%} [{found['low']:.2%}, {found['high']:.2%}]"


def drawn(document: dict[str, Any]) -> Iterator[Any]:
    from patron import console

    rows, seen = document["data"]["rows"], document["on_policy"]
    yield (
        f"Data: Open Bandit, men's campaign, {document['data']['items']} items, {rows['random']:,} rows of "
        f"the random log, {rows['thompson']:,} of the Thompson log"
    )
    for name, each in seen.items():
        yield f"On-policy click rate, {name}: {each['value']:.2%} +- {each['reach']:.2%}"
    columns = (
        "policy",
        "from log",
        "IPS",
        "SNIPS",
        "doubly robust",
        "effective samples",
        "clipped",
        "concludes",
    )
    lines = [
        [
            *(each["policy"], each["log"]),
            *(percent(each[name]) for name in ESTIMATORS),
            *(f"{each['effective_samples']:,.1f}", f"{each['clipped_share']:.2%}", each["concludes"]),
        ]
        for each in document["policies"]
    ]
    yield console.table("Click rate of policies judged from another's log", columns, lines)
    for each in document["policies"]:
        yield f"{each['policy']} from the {each['log']} log: {each['why']}"

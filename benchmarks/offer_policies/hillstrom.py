"""A randomised e-mail campaign (MineThatData, 2008): do models find those whom an e-mail brings?

64,000 customers who had bought within a year: a third got an e-mail of women's goods, a third one of men's, a
third none; what they did within two weeks is known. Each e-mail against none:

- Splits of 70/30, each with the same share of every arm and of visitors, by seeds 0, 1, ... Models are
  fitted, and what ships is chosen, on the 70% alone; Qini, uplift at 30% and gain are of the 30%.
- Qini is `training.uplift_metrics.qini`: each arm ordered by itself, area over that of the perfect order;
  ties share their mean place.
- `chosen` is what `patron.models.uplift_choice.choose` takes on the 70%. Treating all, or none, orders
  nobody: its Qini is 0.
- Beside it: every candidate, the flag "bought women's goods", a response model of both arms, one of the
  treated alone, a churn score (longest since the last order first), and a random order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Rows = NDArray[np.int64]

EMAILS = {"women's e-mail": "Womens E-Mail", "men's e-mail": "Mens E-Mail"}
ALONE = "No E-Mail"
OUTCOMES = {"visit": 10, "conversion": 4, "spend": 4}
"""Outcome -> splits."""
TEST_SHARE = 0.3
LEAST_QINI = 0.065
LOGISTIC = 10.0


def measured(path: Path) -> dict[str, Any]:
    """Each e-mail and outcome over its splits, then what is chosen for both e-mails on all rows."""
    log = read(path)
    return {
        "data": {"customers": len(log["treatment"]), "inputs": list(log["names"])},
        "trials": [
            trial(log, email, outcome, splits) for outcome, splits in OUTCOMES.items() for email in EMAILS
        ],
        "whole": whole(log),
    }


def read(path: Path) -> dict[str, Any]:
    import pandas

    table = pandas.read_csv(path)
    columns = {
        "recency": table["recency"],
        "log_history": np.log1p(table["history"]),
        **{name: table[name] for name in ("mens", "womens", "newbie")},
        **{f"zip_{each.lower()}": table["zip_code"] == each for each in ("Rural", "Urban")},
        **{f"channel_{each.lower()}": table["channel"] == each for each in ("Web", "Phone")},
    }
    names = {label: email for email, label in EMAILS.items()} | {ALONE: "none"}
    return {
        "names": tuple(columns),
        "inputs": np.column_stack([np.asarray(each, dtype=np.float64) for each in columns.values()]),
        "treatment": table["segment"].map(names).to_numpy(dtype=np.str_),
        **{name: table[name].to_numpy(dtype=np.float64) for name in OUTCOMES},
    }


def trial(log: dict[str, Any], email: str, outcome: str, splits: int) -> dict[str, Any]:
    """Every way to order customers, mean and spread over splits, and how often what was chosen."""
    rows = np.flatnonzero(np.isin(log["treatment"], (email, "none")))
    found = [split(log, rows, email, outcome, seed) for seed in range(splits)]
    orders = {
        name: {metric: summed([each["orders"][name][metric] for each in found]) for metric in metrics}
        for name, metrics in found[0]["orders"].items()
    }
    return {
        "email": email,
        "outcome": outcome,
        "splits": splits,
        "rows": len(rows),
        "orders": orders,
        "chosen": dict(Counter(each["chosen"] for each in found)),
        "reason": found[0]["reason"],
        "average": effect(log, rows, email, outcome),
    }


def split(log: dict[str, Any], rows: Rows, email: str, outcome: str, seed: int) -> dict[str, Any]:
    from patron.models.uplift_choice import CANDIDATES, choose

    train, test = parted(log, rows, seed)
    names, kind = log["names"], kind_of(outcome)
    given = (names, log["inputs"][train], log["treatment"][train], log[outcome][train])
    propensity = known(log, train)
    choice = choose(*given, propensity, kind, seed=seed)
    effects = {"chosen": choice.model.effects(log["inputs"][test])[:, 0]}
    for name, config in CANDIDATES.items():
        effects[name] = learned(config, given, propensity, kind, seed).effects(log["inputs"][test])[:, 0]
    effects |= baselines(log, train, test, email, outcome, seed)
    return {
        "chosen": choice.name,
        "reason": choice.reason,
        "orders": {name: judged(log, test, email, outcome, each) for name, each in effects.items()},
    }


def parted(log: dict[str, Any], rows: Rows, seed: int) -> tuple[Rows, Rows]:
    from sklearn.model_selection import train_test_split

    alike = np.char.add(log["treatment"][rows], np.where(log["visit"][rows] > 0, " visit", ""))
    train, test = train_test_split(rows, test_size=TEST_SHARE, random_state=seed, stratify=alike)
    return train, test


def learned(config: Any, given: tuple[Any, ...], propensity: Numbers, kind: Any, seed: int) -> Any:
    from patron.models.uplift import Uplift

    return Uplift(config).fit(*given, propensity, kind, seed=seed)


def known(log: dict[str, Any], rows: Rows) -> Numbers:
    """Propensity of what each row received: it was drawn evenly over the arms that are looked at."""
    return np.full(len(rows), 1 / len(np.unique(log["treatment"][rows])))


def kind_of(outcome: str) -> str:
    return "amount" if outcome == "spend" else "binary"


def baselines(
    log: dict[str, Any], train: Rows, test: Rows, email: str, outcome: str, seed: int
) -> dict[str, Numbers]:
    treated = train[log["treatment"][train] == email]
    inputs = dict(zip(log["names"], log["inputs"][test].T, strict=True))
    return {
        "flag womens": inputs["womens"],
        "response model": response(log, train, test, outcome),
        "response of treated": response(log, treated, test, outcome),
        "churn score": inputs["recency"],
        "random": np.random.default_rng(seed).random(len(test)),
    }


def response(log: dict[str, Any], train: Rows, test: Rows, outcome: str) -> Numbers:
    from patron.models.responses import Regression
    from patron.models.trees import TreesConfig

    regression = Regression(log["names"], "logistic", LOGISTIC, TreesConfig(), 0, 1)
    fitted = regression.fit(log["inputs"][train], log[outcome][train], binary=kind_of(outcome) == "binary")
    return fitted.predict(log["inputs"][test])


def judged(log: dict[str, Any], test: Rows, email: str, outcome: str, effect: Numbers) -> dict[str, float]:
    from training.uplift_metrics import qini, uplift_at

    given = effect, log["treatment"][test] == email, log[outcome][test]
    at = uplift_at(*given, share=0.3)
    return {"qini": qini(*given), "uplift_at_30": at, "gain_of_30": 0.3 * at}


def effect(log: dict[str, Any], rows: Rows, email: str, outcome: str) -> dict[str, float]:
    """Average effect on all customers of both arms."""
    from patron.models.uplift_ranking import average

    found = average(log["treatment"][rows] == email, log[outcome][rows], np.ones(len(rows)))
    low, high = found.bounds()
    return {"value": found.value, "low": low, "high": high}


def summed(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values))}


def whole(log: dict[str, Any]) -> list[dict[str, str]]:
    """What is chosen where both e-mails are learned together, on all rows."""
    from patron.models.uplift_choice import choose

    every = np.arange(len(log["treatment"]))
    choice = choose(log["names"], log["inputs"], log["treatment"], log["visit"], known(log, every), "binary")
    return [{"email": arm, "chosen": each.name, "reason": each.reason} for arm, each in choice.arms.items()]


def bars(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    of = {(each["email"], each["outcome"]): each for each in document["trials"]}
    womens, mens = of["women's e-mail", "visit"], of["men's e-mail", "visit"]
    reached = {name: each["qini"]["mean"] for name, each in womens["orders"].items()}
    yield {
        "bar": f"women's e-mail, visit: Qini of what is chosen >= {LEAST_QINI}",
        "reached": f"{reached['chosen']:.4f}, over {womens['splits']} splits",
        "met": reached["chosen"] >= LEAST_QINI,
    }
    others = {name: reached[name] for name in ("response model", "random")}
    yield {
        "bar": "... more than a response model and a random order",
        "reached": ", ".join(f"{name} {value:.4f}" for name, value in others.items()),
        "met": reached["chosen"] > max(others.values()),
    }
    yield {
        "bar": "men's e-mail, visit: treat all, in every split",
        "reached": ", ".join(f"{name}: {count}" for name, count in mens["chosen"].items()),
        "met": set(mens["chosen"]) == {"treat_all"},
    }


def drawn(document: dict[str, Any]) -> Iterator[Any]:
    from patron import console

    data = document["data"]
    inputs = ", ".join(data["inputs"])
    yield f"Data: {data['customers']:,} customers in three arms, drawn evenly; inputs {inputs}"
    yield (
        "Protocol: 70/30 splits; fitted, and chosen, on the 70%; mean over splits of the 30%, and its spread."
        " Qini: each arm ordered by itself, 1 a perfect order, 0 a random one"
    )
    for each in document["trials"]:
        columns = [
            f"{each['email']}, {each['outcome']}",
            "Qini",
            "its sd",
            "uplift at 30%",
            "gain a customer",
        ]
        rows = [line(name, order) for name, order in each["orders"].items()]
        yield console.table(f"{each['splits']} splits of {each['rows']:,} customers", columns, rows)
        average = each["average"]
        chosen = ", ".join(f"{name} in {count}" for name, count in each["chosen"].items())
        yield (
            f"Chosen: {chosen} of {each['splits']}. "
            f"Average effect {average['value']:+.4f} [{average['low']:+.4f}, {average['high']:+.4f}]. "
            f"The first split says: {each['reason']}\n"
        )
    yield "Both e-mails learned together, on all rows, visit:"
    yield from (each["reason"] for each in document["whole"])


def line(name: str, order: dict[str, dict[str, float]]) -> list[Any]:
    metrics = order["qini"]["mean"], order["qini"]["sd"], order["uplift_at_30"]["mean"]
    return [name, *metrics, order["gain_of_30"]["mean"]]

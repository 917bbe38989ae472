"""Tables and bars of the backtests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from patron import console

COVERAGE = (0.7, 0.9)
Bar = dict[str, Any]
Test = dict[str, Any]


def drawn(found: dict[str, Any]) -> Iterator[Any]:
    data = found["data"]
    yield (
        f"Data: {data['name']}, {data['order_lines']:,} order lines, {data['cutoffs']} cutoffs from "
        f"{data['from']} to {data['to']}; imported and built by Patron"
    )
    yield (
        "Protocol: at each test cutoff everything is fitted, chosen and calibrated on labels that end before "
        "it; brackets are 95% paired bootstrap intervals over customers"
    )
    horizon = found["churn horizon"]
    columns = [
        "test",
        "customers",
        "by",
        "AUC",
        "AUC less recency",
        "less logistic",
        "calibration error (band)",
    ]
    title = f"Churn on Online Retail: no order in {horizon} days"
    told = zip(found["churn"], found["churn by buy-till-you-die"], strict=True)
    yield console.table(title, [*columns, "lift at 10%"], [row for each in told for row in churn(*each)])
    horizon = found["lifetime-value horizon"]
    columns = [
        "test",
        "customers",
        "by",
        "Gini",
        "less buy-till-you-die",
        "less history",
        "MAE",
        "bias",
        "covered",
    ]
    title = f"Value on Online Retail: spend less returns in {horizon} days"
    yield console.table(title, columns, [row for each in found["lifetime-value"] for row in value(each)])


def ours(test: Test) -> str:
    """The kind that stands first."""
    return str(next(iter(test["metrics"])))


def when(test: Test) -> str:
    left = ", ".join(f"{count:,} {name}" for name, count in test["left_out"].items())
    season = "-".join(month[:3] for month in test["months"])
    return f"{test['test_cutoff']} ({season}){f'; without {left}' if left else ''}"


def churn(test: Test, btyd: dict[str, float]) -> Iterator[list[Any]]:
    for kind, found in test["metrics"].items():
        error, band = found["expected_calibration_error"]["value"], found["calibration_band"]["value"]
        yield [
            when(test) if kind == ours(test) else "",
            test["customers"] if kind == ours(test) else None,
            kind,
            f"{found['roc_auc']['value']:.4f}",
            *(gap(test, kind, rival, "roc_auc") for rival in ("recency", "logistic")),
            f"{error:.4f} ({band:.4f})",
            f"{found['lift_at_10']['value']:.2f}",
        ]
    error = f"{btyd['expected_calibration_error']:.4f}"
    yield [
        "",
        None,
        "buy-till-you-die",
        f"{btyd['roc_auc']:.4f}",
        None,
        None,
        error,
        f"{btyd['lift_at_10']:.2f}",
    ]


def value(test: Test) -> Iterator[list[Any]]:
    for kind, found in test["metrics"].items():
        yield [
            when(test) if kind == ours(test) else "",
            test["customers"] if kind == ours(test) else None,
            kind,
            f"{found['gini']['value']:.4f}",
            *(gap(test, kind, rival, "gini") for rival in ("btyd", "history")),
            f"{found['mae']['value']:,.1f}",
            f"{found['total_bias']['value']:+.1%}",
            f"{found['interval_coverage']['value']:.1%}",
        ]


def gap(test: Test, kind: str, rival: str, metric: str) -> str | None:
    found = test["differences"].get(kind, {}).get(rival, {}).get(metric)
    return found and f"{found['value']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"


def bars(found: dict[str, Any]) -> Iterator[Bar]:
    for test in found["churn"]:
        yield from churn_bars(test)
    for test in found["lifetime-value"]:
        yield from value_bars(test)


def churn_bars(test: Test) -> Iterator[Bar]:
    at, kind = test["test_cutoff"], ours(test)
    found = test["metrics"][kind]
    beside = test["differences"][kind]
    over = beside["recency"]["roc_auc"]
    yield bar(f"{at}: churn AUC above recency", gap(test, kind, "recency", "roc_auc"), over["low"] > 0)
    over = beside["logistic"]["roc_auc"]
    yield bar(
        f"{at}: churn AUC not shown below logistic's",
        gap(test, kind, "logistic", "roc_auc"),
        over["high"] >= 0,
    )
    error, band = found["expected_calibration_error"]["value"], found["calibration_band"]["value"]
    yield bar(f"{at}: churn calibrated within the band", f"{error:.4f} of {band:.4f}", error <= band)


def value_bars(test: Test) -> Iterator[Bar]:
    at, found = test["test_cutoff"], test["metrics"]
    mine = {name: each["value"] for name, each in found[ours(test)].items()}
    for rival in ("btyd", "history"):
        theirs = {name: each["value"] for name, each in found[rival].items()}
        for metric, sign in (("gini", 1), ("mae", -1)):
            reached = f"{mine[metric]:.4g} against {theirs[metric]:.4g}"
            yield bar(
                f"{at}: value's {metric} better than {rival}'s",
                reached,
                sign * (mine[metric] - theirs[metric]) > 0,
            )
        biases = [each["total_bias"] for each in (mine, theirs)]
        reached = " against ".join(f"{each:+.1%}" for each in biases)
        yield bar(f"{at}: value's bias smaller than {rival}'s", reached, abs(biases[0]) < abs(biases[1]))
    covered, (low, high) = mine["interval_coverage"], COVERAGE
    yield bar(f"{at}: 80% intervals cover 70-90%", f"{covered:.1%}", low <= covered <= high)


def bar(what: str, reached: str | None, met: bool) -> Bar:
    return {"bar": what, "reached": reached or "-", "met": bool(met)}

"""Scoring as a plain script does it: pandas, LightGBM's own predictor and TreeSHAP, a Python loop for words.

`python -m customer_models.plain FEATURES CHURN_TREES VALUE_TREES OUT` reads the snapshot of customer_activity
and the trees of Patron's own models, and writes churn, value, segment and three reasons of each for every
customer. It does less than Patron: inputs that buy-till-you-die models compute stay missing, nothing is
calibrated, no interval, no next order, no persona, no words but the inputs' names and values.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

LIMIT = 3
SEGMENTS = {(True, True): "champions", (False, True): "at risk", (True, False): "new", (False, False): "lost"}


def main(features: str, churn_trees: str, value_trees: str, out: str) -> int:
    table = derived(pd.read_parquet(features))
    told = pd.DataFrame({"customer_id": table["customer_id"]})
    for name, trees in (("churn", churn_trees), ("value", value_trees)):
        booster = lightgbm.Booster(model_file=trees)
        inputs = table.reindex(columns=booster.feature_name()).astype(float)
        told[name] = booster.predict(inputs)
        told[f"{name}_reasons"] = reasons(inputs, booster.predict(inputs, pred_contrib=True))
    told["segment"] = segments(table)
    told.to_parquet(out)
    sys.stdout.write(json.dumps({"customers": len(told)}))
    return 0


def derived(table: pd.DataFrame) -> pd.DataFrame:
    """The inputs of Patron's models that follow from others in the row."""
    gap, tenure = table["mean_gap_days"], table["tenure_days"]
    late = (table["recency_days"] - gap) / table["sd_gap_days"].clip(lower=1)
    return table.assign(
        recency_share=table["recency_days"] / tenure,
        orders_a_month=30 * (table["purchase_days"] - 1).clip(lower=0) / tenure,
        overdue=late.clip(-5, 20),
        last_gap_to_gap=table["last_gap_days"] / gap,
        spend_trend=4 * table["spend_90d"] / table["spend_365d"],
    )


def reasons(inputs: pd.DataFrame, contributions: Any) -> list[str]:
    """For each customer the inputs that push hardest, with their values."""
    names, found = list(inputs.columns), []
    for row, pushes in zip(inputs.to_numpy(), contributions[:, :-1], strict=True):
        hardest = np.argsort(-pushes)[:LIMIT]
        found.append("; ".join(f"{names[each]} = {row[each]:.4g}" for each in hardest if pushes[each] > 0))
    return found


def segments(table: pd.DataFrame) -> pd.Series:
    """By quintiles of recency and of orders."""
    fifths = {
        name: pd.qcut(table[name].rank(method="first"), 5, labels=False)
        for name in ("recency_days", "orders_total", "spend_total")
    }
    scores = pd.DataFrame(fifths)
    return scores.apply(
        lambda row: SEGMENTS[
            bool(row["recency_days"] < 2), bool(row["orders_total"] + row["spend_total"] > 4)
        ],
        axis=1,
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Batch rows beside the answers of the real service for the same customers; features offline and online."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from storefront.home import Home
from storefront.home import environment as settings_of
from storefront.peers import patron

from customer_models.machine import environment
from customer_models.shop import NotMade
from patron import console

CLIENT = "bench-customers"
AT_ONCE = 1000
"""Customers a request."""
TOLERANCE = 1e-6
CHURN = {
    "churn_status": "status",
    "churn_probability": "churn_probability",
    "churn_risk": "risk",
    "expected_next_order_at": "expected_next_order_at",
}
VALUE = {
    "expected_value": "expected_value",
    "expected_orders": "expected_orders",
    "probability_active": "probability_active",
    "value_tier": "value_tier",
}
PROFILE = {
    "segment": "segment",
    "cluster": "cluster",
    "lifecycle_stage": "lifecycle_stage",
    "nps_score": "nps",
}
"""Column of the batch -> field of the answer."""
Row = dict[str, Any]


def measured(home: Home, scratch: Path, customers: int) -> dict[str, Any]:
    """{"customers", "fields": [{"field", "values", "largest", "unequal"}], "features"}."""
    from features.check import check

    rows = batch(home, scratch / "parity.parquet")
    size = min(customers, len(rows))
    drawn = np.random.default_rng(home.settings.seed).permutation(len(rows))[:size]
    chosen = [rows[each] for each in np.sort(drawn).tolist()]
    answers = asked(home, [row["customer_id"] for row in chosen])
    fields = [compared(name, chosen, found) for name, found in answers.items()]
    features = check(home.settings, size)
    told = {
        "customers": features["customers"],
        "values": features["values"],
        "differences": features["differences"],
    }
    return {"customers": size, "fields": fields, "features": told}


def batch(home: Home, to: Path) -> list[Row]:
    """What `patron score` writes. Raises NotMade."""
    command = [sys.executable, "-m", "patron", "score", "--json", "--to", str(to)]
    more = {**environment(), **settings_of(home.folder)}
    if subprocess.run(command, cwd=to.parent, env=more, stdout=subprocess.DEVNULL).returncode:
        raise NotMade("patron score failed; see its message above.")
    rows: list[Row] = pq.read_table(to).to_pylist()
    return rows


def asked(home: Home, ids: list[str]) -> dict[str, list[Any]]:
    """Column of the batch -> what the service answers for each customer."""
    from serving.keys import create, revoke

    ring = home.settings.home / "keys.json"
    key, record = create(ring, CLIENT, ("crm",))
    with ExitStack() as stack:
        stack.callback(revoke, ring, record.lookup)
        service = stack.enter_context(patron(home, "parity", os.sched_getaffinity(0)))
        service_asked = Asked(service.port, key)
        stack.callback(service_asked.close)
        return {**of_many(service_asked, ids), **of_each(service_asked, ids)}


class Asked:
    """One kept connection to the service."""

    def __init__(self, port: int, key: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"content-type": "application/json", "x-api-key": key}

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The answer as JSON. Raises NotMade for any other than 200."""
        sent = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, sent, self.headers)
        answer = self.connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise NotMade(f"{method} {path.split('/')[2]} was answered with {answer.status}.")
        return json.loads(said)

    def close(self) -> None:
        self.connection.close()


def of_many(ask: Asked, ids: list[str]) -> dict[str, list[Any]]:
    """Churn and value, many customers a request."""
    scores, values = [], []
    for start in range(0, len(ids), AT_ONCE):
        body = {"customer_ids": ids[start : start + AT_ONCE]}
        console.note(f"  asking for {len(body['customer_ids']):,} customers")
        scores += ask("POST", "/v1/churn-scores", body)["scores"]
        values += ask("POST", "/v1/lifetime-values", body)["values"]
    intervals = [each["interval"] or (None, None) for each in values]
    return {
        **{column: [each[field] for each in scores] for column, field in CHURN.items()},
        **{column: [each[field] for each in values] for column, field in VALUE.items()},
        "value_low": [low for low, _ in intervals],
        "value_high": [high for _, high in intervals],
        "reasons: churn": [texts(each) for each in scores],
        "reasons: value": [texts(each) for each in values],
    }


def of_each(ask: Asked, ids: list[str]) -> dict[str, list[Any]]:
    """The profile, one customer a request."""
    found = [ask("GET", f"/v1/customers/{each}") for each in ids]
    told = {column: [each[field] for each in found] for column, field in PROFILE.items()}
    told["loyalty_tier"] = [each["loyalty"] and each["loyalty"]["tier"] for each in found]
    told["persona"] = [each["persona"] and each["persona"]["label"] for each in found]
    return told


def texts(found: Row) -> str:
    return ", ".join(each["text"] for each in found["reasons"])


def compared(name: str, rows: list[Row], answers: list[Any]) -> dict[str, Any]:
    """How far the batch's values are from the answers; text and times have to be the same."""
    pairs = [(of_batch(row, name), answer) for row, answer in zip(rows, answers, strict=True)]
    gaps = [distance(one, other) for one, other in pairs]
    return {
        "field": name,
        "values": sum(one is not None for one, _ in pairs),
        "largest": max((each for each in gaps if np.isfinite(each)), default=0.0),
        "unequal": sum(not each <= TOLERANCE for each in gaps),
    }


def of_batch(row: Row, name: str) -> Any:
    """A value of the batch's row; the reasons of one subject are a part of one column."""
    if not name.startswith("reasons: "):
        return row[name]
    subject = name.removeprefix("reasons: ") + ": "
    parts = (row["reasons"] or "").split("; ")
    return next((each.removeprefix(subject) for each in parts if each.startswith(subject)), "")


def distance(one: Any, other: Any) -> float:
    """Between two numbers, relative where above 1; else 0 where they are the same, infinite where not."""
    if isinstance(one, datetime) and isinstance(other, str):
        return 0.0 if one == datetime.fromisoformat(other) else float("inf")
    if isinstance(one, float) and isinstance(other, int | float):
        return abs(one - other) / max(1.0, abs(one))
    return 0.0 if one == other else float("inf")

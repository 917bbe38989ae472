"""A shop whose customers stay or leave by the toss of a coin each month: only browsing tells which."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from tests.shops import line
from tests.training.shop import START

MONTH = 28
MONTHS = 10


def tables(customers: int = 150, seed: int = 3) -> dict[str, list[dict[str, Any]]]:
    """Who orders in a month looks at products in the week before it, who does not looks at none; but one in
    eight does it the other way round. Orders say nothing of the orders to come."""
    rng = np.random.default_rng(seed)
    lines, events = [], []
    for number in range(customers):
        name = f"c{number:03d}"
        lines.append(line(name, "p0", START + timedelta(days=float(rng.uniform(0, 2)))))
        for month in range(MONTHS + 1):
            start = START + timedelta(days=MONTH * month)
            stays = rng.random() < 0.5
            if stays and month < MONTHS:
                lines.append(line(name, "p0", start + timedelta(days=float(rng.uniform(3, MONTH - 8)))))
            if month and stays != (rng.random() < 0.125):
                events += views(name, start - timedelta(days=float(rng.uniform(1, 6))), rng)
    end = START + timedelta(days=MONTH * MONTHS - 1)
    return {
        "order_lines": [*lines, line(None, "p0", end)],
        "products": [{"product_id": "p0", "title": "Product", "category": "k", "price": 10}],
        "customers": [{"customer_id": "c000", "region": "north", "tier": "basic"}],
        "events": [{**each, "event_id": f"e{place:05d}"} for place, each in enumerate(events)],
    }


def views(name: str, at: Any, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Some views within minutes, half of them in a session that the customer signs in to at its end."""
    count = int(rng.integers(2, 6))
    whose = {"session_id": f"{name} {at}"} if rng.random() < 0.5 else {"customer_id": name}
    found = [
        {**whose, "name": "view_item", "product_id": "p0", "occurred_at": at + timedelta(minutes=each)}
        for each in range(count)
    ]
    signed = {**whose, "customer_id": name, "name": "search", "occurred_at": at + timedelta(minutes=count)}
    return [*found, signed]

"""Proof that training and serving see the same features: the online store held against the snapshot."""

from __future__ import annotations

from typing import Any

import numpy as np

from features import live_check
from features.offline import snapshot
from features.online import OnlineFeatures
from features.views import VIEWS
from patron.settings import Settings


def check(settings: Settings, customers: int = 500) -> dict[str, Any]:
    """Read customers both ways and compare every feature bit for bit.

    Returns {"as_of", "customers", "features", "values", "live", "differences": {reference: count}}. `live` is
    the same of features that are computed from the event log.
    """
    online = OnlineFeatures(settings)
    references = sorted(
        reference
        for view in VIEWS
        if view.entity == "customer"
        for reference in view.references
        if reference in online.offered_references()
    )
    offline = snapshot(settings, references, online.as_of)
    chosen = np.random.default_rng(settings.seed).permutation(len(offline))[:customers]
    expected = offline.take(np.sort(chosen))
    found = online.read(expected.ids, references)
    differences = {}
    for reference in references:
        name = reference.split(":")[1]
        unequal = sum(
            not same(one, other)
            for one, other in zip(expected.columns[name], found.columns[name], strict=True)
        )
        if unequal:
            differences[reference] = unequal
    live = live_check.check(settings, online.as_of, customers)
    return {
        "as_of": online.as_of.isoformat(),
        "customers": len(expected),
        "features": len(references),
        "values": len(expected) * len(references),
        "live": live,
        "differences": differences | live["differences"],
    }


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit; missing equals missing."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return bool(one == other or (one is None and other is None) or (one != one and other != other))

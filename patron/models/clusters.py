"""Groups that the shop's customers form by themselves, beside the segments: k-means on how lately, how often
and how much a time they buy, each group named by where its centre lies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from patron.errors import DataError
from patron.models.activity import Numbers, column
from patron.models.base import Config, FeatureRows

AXES = ("recency_days", "orders_365d", "mean_order_value")
"""What customers are compared by: the logarithm of 1 + each, standardised."""
OFTEN = ("rare", "occasional", "frequent")
BASKETS = ("small baskets", "middling baskets", "big baskets")
SPENDERS = ("small spenders", "middling spenders", "big spenders")
SAMPLE = 4000
"""Customers that the number of groups is chosen by, at most."""


class ClustersConfig(Config):
    """How many groups, and from where a centre counts as high or low."""

    fewest: int = Field(default=3, ge=1)
    most: int = Field(default=8, ge=1, le=20)
    stability: float = Field(default=0.8, ge=0, le=1)
    """Numbers of groups are left out where two halves of the customers find groups that agree less than this
    (adjusted Rand index)."""
    apart: float = Field(default=0.4, ge=0)
    """Standard deviations from the mean from which a centre is called high or low."""


class Clusters:
    """Centres in standardised logarithms, numbered by what their customers spend, the most first.

    centres: (groups, axes). mean, spread: (axes,). names: one a group.
    """

    def __init__(self, centres: Numbers, mean: Numbers, spread: Numbers, names: list[str]) -> None:
        self.centres, self.mean, self.spread, self.names = centres, mean, spread, names
        self.facts: dict[str, Any] = {}

    @classmethod
    def fit(cls, rows: FeatureRows, config: ClustersConfig, *, seed: int = 0) -> Self:
        """Learn from the customers with an order. Raises DataError when there is none."""
        raw = logs(rows)
        raw = raw[np.isfinite(raw).all(axis=1)]
        if not len(raw):
            raise DataError("No customer has an order: there are no groups to find.")
        mean, spread = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-9)
        points = (raw - mean) / spread
        k, facts = chosen(points, config, seed)
        centres = means(points, k, seed)
        worth = np.expm1(centres * spread + mean)
        centres = centres[np.argsort(-worth[:, 1] * worth[:, 2], kind="stable")]
        found = cls(centres, mean, spread, names(centres, config.apart))
        found.facts = facts
        return found

    def nearest(self, rows: FeatureRows) -> NDArray[np.int64]:
        """The number of each customer's group, -1 without an order; shape (customers,)."""
        points = standardised(self, rows)
        known = np.isfinite(points).all(axis=1)
        away = np.square(self.centres).sum(axis=1) - 2 * np.nan_to_num(points) @ self.centres.T
        return np.where(known, away.argmin(axis=1), -1)

    def named(self, rows: FeatureRows, otherwise: str) -> NDArray[np.str_]:
        """The name of each customer's group, `otherwise` without an order."""
        return np.array([*self.names, otherwise])[self.nearest(rows)]

    def save(self, path: Path) -> None:
        """names are ascii, so that no pickle is needed."""
        np.savez(path, centres=self.centres, mean=self.mean, spread=self.spread, names=np.array(self.names))

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["centres"], stored["mean"], stored["spread"], stored["names"].tolist())


def logs(rows: FeatureRows) -> Numbers:
    """The axes of each customer, shape (customers, axes); NaN without an order."""
    return np.column_stack([np.log1p(np.maximum(column(rows, name), 0)) for name in AXES])


def standardised(clusters: Clusters, rows: FeatureRows) -> Numbers:
    """Each customer where the centres are, shape (customers, axes)."""
    return (logs(rows) - clusters.mean) / clusters.spread


def means(points: Numbers, k: int, seed: int) -> Numbers:
    """Centres by k-means, the best of ten starts."""
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(k, n_init=10, random_state=seed).fit(points).cluster_centers_)


def labels(points: Numbers, centres: Numbers) -> NDArray[np.int64]:
    away = np.square(centres).sum(axis=1) - 2 * points @ centres.T
    return np.asarray(away.argmin(axis=1))


def chosen(points: Numbers, config: ClustersConfig, seed: int) -> tuple[int, dict[str, Any]]:
    """How many groups: the best mean silhouette (Rousseeuw 1987) among those that are stable.

    Two fits, each on half of the customers, name all of them; their adjusted Rand index (Hubert & Arabie
    1985) is the stability. Where no number is stable enough, the most stable one is taken.
    """
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    rng = np.random.default_rng(seed)
    some = points[np.sort(rng.permutation(len(points))[:SAMPLE])]
    half = rng.random(len(some)) < 0.5
    distinct = min(len(np.unique(some[part], axis=0)) for part in (half, ~half))
    tried: dict[int, dict[str, float]] = {}
    for k in range(config.fewest, min(config.most, distinct - 1) + 1):
        one, other = (labels(some, means(some[part], k, seed)) for part in (half, ~half))
        whole = labels(some, means(some, k, seed))
        tried[k] = {
            "silhouette": float(silhouette_score(some, whole)),
            "stability": float(adjusted_rand_score(one, other)),
        }
    if not tried:
        return 1, {"groups": 1, "tried": {}}
    stable = [k for k, each in tried.items() if each["stability"] >= config.stability]
    best = (
        max(stable, key=lambda k: tried[k]["silhouette"])
        if stable
        else max(tried, key=lambda k: tried[k]["stability"])
    )
    return best, {"groups": best, **tried[best], "tried": tried}


def names(centres: Numbers, apart: float) -> list[str]:
    """A name for each centre: how often, how much a time, and 'lapsed' where the last order is long ago.

    Who buys seldom and much is a 'big spender', who buys often has 'baskets'. Equal names are told apart by
    what differs most between them.
    """
    found = [name(*np.digitize(each, (-apart, apart)).tolist()) for each in centres]
    for shared in [each for each, count in Counter(found).items() if count > 1]:
        mine = [at for at, each in enumerate(found) if each == shared]
        for at, more in zip(mine, differences(centres[mine]), strict=True):
            found[at] = f"{shared}, {more}"
    return found


def name(late: int, often: int, much: int) -> str:
    """Each of the three is 0 (low), 1 (middling) or 2 (high)."""
    what = f"{OFTEN[often]} {(BASKETS if often else SPENDERS)[much]}"
    return f"lapsed {what}" if late == 2 else what


def differences(centres: Numbers) -> list[str]:
    """What tells these centres apart, a text each."""
    axis = int(np.ptp(centres, axis=0).argmax())
    rank = np.argsort(np.argsort(centres[:, axis], kind="stable"), kind="stable")
    low, high = (("lately", "longer ago"), ("less often", "more often"), ("cheaper", "dearer"))[axis]
    last = len(centres) - 1
    return [low if each == 0 else high if each == last else f"{high} {each}" for each in rank.tolist()]

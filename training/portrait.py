"""The portrait job: are customers whom the rules put into better segments those who spend more next?"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from features.build import built_cutoffs
from patron.errors import UsageError
from patron.lake.tables import Lake
from patron.models.base import Config, Model
from patron.models.clusters import SAMPLE, Clusters, standardised
from patron.models.loyalty import TiersConfig
from patron.models.portrait import Portrait
from patron.models.rule_files import rules_of
from patron.models.segments import SegmentsConfig
from patron.settings import Settings
from training import metrics, plots
from training.bootstrap import Indices, Judgement
from training.customers import CustomerJob, Followed
from training.labels import horizon_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Trial


class PortraitJob(CustomerJob):
    """Edges are learned from the features of the window's beginning, what a segment is worth one window
    before: both know nothing of what follows."""

    short = "portrait"
    kinds = ("rfm", "recency")
    baseline = "recency"
    rivals = ("recency",)
    primary = "gini"

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.found: dict[datetime, Clusters] = {}

    def forget(self) -> None:
        self.found = {}

    def horizon(self) -> int:
        return horizon_of(self.settings, self.orders)

    def config(self, **more: Any) -> tuple[type[Model], Config]:
        """With the shop's rules, which stand in files of their own."""
        configs = self.settings.configs
        segments = rules_of(configs / "segments.toml", SegmentsConfig, horizon_days=self.horizon_days)
        tiers = rules_of(configs / "tiers.toml", TiersConfig)
        return super().config(segments=segments.model_dump(), tiers=tiers.model_dump(), **more)

    def inputs(self) -> list[str]:
        return list(self.model(self.baseline).learned_from)

    def model(self, kind: str) -> Portrait:
        found, config = self.config(kind=kind)
        return cast(Portrait, cast(Any, found)(config))

    def cutoffs(self) -> list[datetime]:
        learned = (self.judged.fit[-1], self.judged.calibrate, self.shipped.calibrate)
        return sorted({*learned, self.earlier, self.test, self.cutoff})

    @property
    def earlier(self) -> datetime:
        """The cutoff before the test's."""
        return max(each for each in built_cutoffs(self.settings) if each < self.test)

    def fit(self, kind: str, shipped: bool) -> Portrait:
        windows = self.shipped if shipped else self.judged
        return self.fitted(kind, windows.calibrate, windows.test)

    def fitted(self, kind: str, before: datetime, now: datetime) -> Portrait:
        """Edges of `now`; what segments are worth by what followed `before`, with the edges of then."""
        then, found, past = self.model(kind), self.model(kind), self.data[before]
        then.segments.fit(past.rows.columns)
        found.fit(self.data[now].rows.columns, self.clusters(now))
        return found.weigh(then.groups(past.rows.columns).tolist(), spent(past))

    def clusters(self, now: datetime) -> Clusters:
        """The groups of a cutoff, found once: they are the same for every candidate."""
        if now not in self.found:
            config = self.model(self.baseline).config.clusters
            self.found[now] = Clusters.fit(self.data[now].rows.columns, config, seed=self.settings.seed)
        return self.found[now]

    def validated(self, kind: str) -> float:
        """Gini on the window before the test, with what was known at its beginning."""
        model = self.fitted(kind, self.judged.fit[-1], self.judged.calibrate)
        last = self.data[self.judged.calibrate]
        return metrics.gini(spent(last), model.worth(last.rows.columns))

    def choose(self) -> tuple[str, dict[str, float]]:
        found = {kind: self.validated(kind) for kind in self.kinds}
        return max(found, key=lambda kind: found[kind]), found

    def validate(self) -> float:
        return self.validated("rfm")

    def judge(self, model: Model) -> Judgement:
        test, portrait = self.data[self.test], cast(Portrait, model)
        actual, expected = spent(test), portrait.worth(test.rows.columns)

        def measure(at: Indices) -> dict[str, float]:
            y, p = actual[at], expected[at]
            return {
                "gini": metrics.gini(y, p),
                "spearman": metrics.spearman(y, p),
                "mae": metrics.mae(y, p),
                "total_bias": metrics.total_bias(y, p),
            }

        whole = {
            "segment_stability": self.stability(portrait),
            "cluster_silhouette": silhouette(portrait, test, self.settings.seed),
            "cluster_gini": metrics.gini(actual, self.cluster_worth(portrait)),
        }
        return Judgement(measure, len(actual), self.primary, self.slices(), whole)

    def stability(self, portrait: Portrait) -> float:
        """Share of the customers of the cutoff before the test who are in the same segment at the test."""
        before, now = self.data[self.earlier].rows, self.data[self.test].rows
        then = dict(zip(before.ids, portrait.segment(before.columns).tolist(), strict=True))
        known = zip(now.ids, portrait.segment(now.columns).tolist(), strict=True)
        return float(np.mean([then[each] == found for each, found in known if each in then]))

    def cluster_worth(self, portrait: Portrait) -> NDArray[np.float64]:
        """What the groups of the test's customers were worth one window before."""
        past = self.data[self.judged.calibrate]
        names, spend = portrait.cluster(past.rows.columns), spent(past)
        means = {each: float(spend[names == each].mean()) for each in np.unique(names)}
        return np.array(
            [means.get(each, 0.0) for each in portrait.cluster(self.data[self.test].rows.columns)]
        )

    def figures(self, model: Model) -> dict[str, Figure]:
        test, portrait = self.data[self.test], cast(Portrait, model)
        actual, segments = spent(test), portrait.segment(test.rows.columns)
        currency = str(Lake(self.settings.lake).facts()["currency"])
        baseline = self.fit(self.baseline, shipped=False)
        worth = {
            portrait.config.kind: portrait.worth(test.rows.columns),
            self.baseline: baseline.worth(test.rows.columns),
        }
        return {
            "segment_sizes": plots.bars(counted(segments), "Segments at the test cutoff", "customers"),
            "segment_value": plots.bars(
                {str(each): float(actual[segments == each].mean()) for each in np.unique(segments)},
                f"Spend in the {self.horizon_days} days that followed",
                f"mean a customer ({currency})",
            ),
            "cluster_sizes": plots.bars(
                counted(portrait.cluster(test.rows.columns)), "Groups at the test cutoff", "customers"
            ),
            "gain": plots.gain(actual, worth, "spend by segment", "share of spend found"),
        }

    def references(self, model: Model) -> dict[str, str]:
        return cast(Portrait, model).references

    def facts(self) -> dict[str, Any]:
        test = self.data[self.test]
        twin = self.fit("rfm", shipped=False)
        clusters = cast(Any, twin.clusters)
        return {
            "horizon_days": self.horizon_days,
            "learned_at": f"{self.judged.calibrate:%Y-%m-%d}",
            "test_cutoff": f"{self.test:%Y-%m-%d}",
            "test_customers": len(test.rows),
            "segments": counted(twin.segment(test.rows.columns)),
            "segment_mean_spend": {each: round(value, 2) for each, value in twin.means.items()},
            "stages": counted(twin.stage(test.rows.columns)),
            "clusters": counted(twin.cluster(test.rows.columns)),
            "cluster_choice": clusters.facts,
            "currency": Lake(self.settings.lake).facts()["currency"],
        }

    def parts(self) -> tuple[str, ...]:
        raise UsageError(
            "The portrait is made of rules: there is nothing to tune. Edit configs/segments.toml, "
            "configs/tiers.toml or configs/models/portrait.toml, then: patron train portrait"
        )

    def space(self, trial: Trial, part: str) -> dict[str, Any]:
        return {}


def spent(customers: Followed) -> NDArray[np.float64]:
    """What each customer spent within the horizon, net of returns, at least 0."""
    return np.maximum(customers.revenue, 0)


def counted(names: NDArray[np.str_]) -> dict[str, int]:
    """Name -> customers, the most first."""
    found, counts = np.unique(names, return_counts=True)
    pairs = zip(found.tolist(), counts.tolist(), strict=True)
    return dict(sorted(pairs, key=lambda each: (-each[1], each[0])))


def silhouette(portrait: Portrait, customers: Followed, seed: int) -> float:
    """Mean silhouette (Rousseeuw 1987) of the groups over a sample; NaN where there is but one."""
    from sklearn.metrics import silhouette_score

    clusters = cast(Any, portrait.clusters)
    points = standardised(clusters, customers.rows.columns)
    places = clusters.nearest(customers.rows.columns)
    known = np.flatnonzero(places >= 0)
    some = np.sort(np.random.default_rng(seed).permutation(known)[:SAMPLE])
    if len(np.unique(places[some])) < 2:
        return float("nan")
    return float(silhouette_score(points[some], places[some]))

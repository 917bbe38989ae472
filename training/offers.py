"""The offers job: response rates by segment from what was shown, judged on what was shown last."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.build import built_cutoffs
from features.offline import historical, snapshot
from patron.lake.tables import Lake
from patron.models.base import Model
from patron.models.offers import OfferPolicy, OfferTerms
from patron.models.rule_files import rules_of
from patron.models.segments import Segments, SegmentsConfig
from patron.settings import Settings
from training import metrics, plots
from training.bootstrap import Indices, Judgement
from training.consent import withheld
from training.job import Job
from training.labels import Orders, horizon_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Trial

RESPONSE_DAYS = 42
"""Outcomes carry no time: what was shown later than this before the test is not learned from."""
TEST_SHARE = 0.3
ANYBODY = "anybody"
"""The segment under which the baseline counts everyone."""


class OffersJob(Job):
    """Two candidates: rates by segment, and the baseline that treats all customers alike."""

    short = "offers"
    kinds = ("by_segment", "overall")
    baseline = "overall"
    primary = "roc_auc"

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        lake = Lake(settings.lake)
        self.offers = [row for path in lake.files("offers") for row in pq.read_table(path).to_pylist()]
        shown = [row for path in lake.files("exposures") for row in pq.read_table(path).to_pylist()]
        self.cutoffs = built_cutoffs(settings)
        refused = withheld(settings)
        shown = [row for row in shown if row["customer_id"] not in refused]
        shown = [row for row in shown if self.cutoffs[0] <= row["shown_at"] < self.cutoffs[-1]]
        self.shown = sorted(shown, key=lambda row: (row["shown_at"], row["decision_id"]))
        self.cutoff = self.cutoffs[-1]
        self.test = self._test_cutoff()
        self.horizon_days = horizon_of(settings, Orders(settings))

    def _test_cutoff(self) -> datetime:
        """The last cutoff before the newest third of what was shown."""
        if not self.shown:
            return self.cutoff
        moment = self.shown[int((1 - TEST_SHARE) * (len(self.shown) - 1))]["shown_at"]
        return max(each for each in self.cutoffs if each <= moment)

    @cached_property
    def terms(self) -> list[OfferTerms]:
        """The catalogue, grouped by the arm under which each offer was mostly shown (its campaign type)."""
        arms: dict[str, Counter[str]] = {}
        for row in self.shown:
            arms.setdefault(row["offer_id"], Counter())[row["arm"] or ""] += 1
        return [
            OfferTerms(
                offer_id=row["offer_id"],
                name=row["name"] or row["offer_id"],
                kind=row["kind"] or "coupon",
                group=arms[row["offer_id"]].most_common(1)[0][0] if row["offer_id"] in arms else "",
                cost=float(row["cost"] or 0),
                valid_from=row["valid_from"],
                valid_to=row["valid_to"],
                channels=tuple(row["channels"] or ()),
                min_tier=row["min_tier"],
            )
            for row in self.offers
        ]

    def rules(self) -> dict[str, Any]:
        return {"segments": self.segment_rules.model_dump()}

    @property
    def segment_rules(self) -> SegmentsConfig:
        """Those that the portrait has too."""
        path = self.settings.configs / "segments.toml"
        return rules_of(path, SegmentsConfig, horizon_days=self.horizon_days)

    def segments(self, cutoff: datetime) -> Segments:
        """Segments whose edges are those of the customers at a cutoff."""
        found = Segments(self.segment_rules)
        rows, refused = snapshot(self.settings, list(found.references), cutoff), withheld(self.settings)
        agreed = np.array([each not in refused for each in rows.ids], dtype=bool)
        return found.fit(rows.take(agreed).columns)

    def exposures(self, since: datetime | None, until: datetime, edges: Segments) -> dict[str, NDArray[Any]]:
        """What was shown in [since, until), with the segment that the customer was in then."""
        rows = [
            row
            for row in self.shown
            if (since is None or row["shown_at"] >= since) and row["shown_at"] < until
        ]
        moments = [max(each for each in self.cutoffs if each <= row["shown_at"]) for row in rows]
        features = historical(
            self.settings, [row["customer_id"] for row in rows], moments, list(edges.references)
        )
        return {
            "offer_id": np.array([row["offer_id"] for row in rows], dtype=object),
            "segment": edges.segment(features.columns).astype(object) if rows else np.zeros(0, dtype=object),
            "converted": np.array([float(bool(row["converted"])) for row in rows]),
            "value": np.array([float(row["value"] or 0) for row in rows]),
            "propensity": np.array([row["propensity"] for row in rows]),
        }

    def fit(self, kind: str, shipped: bool) -> OfferPolicy:
        until = self.cutoff if shipped else self.test - timedelta(days=RESPONSE_DAYS)
        edges = self.segments(self.cutoff if shipped else self.test)
        seen = self.exposures(None, until, edges)
        if kind == self.baseline:
            seen["segment"] = np.full(len(seen["offer_id"]), ANYBODY, dtype=object)
        found, config = self.config()
        policy = cast(OfferPolicy, cast(Any, found)(config))
        return policy.fit(seen, self.terms, edges, seed=self.settings.seed, threads=1)

    def choose(self) -> tuple[str, dict[str, float]]:
        """By segment as soon as anything was shown; the gate tells whether segments help."""
        return ("by_segment" if self.shown else self.baseline), {}

    def validate(self) -> float:
        """Log-likelihood of a validation third of what was shown before the test window."""
        before = [row for row in self.shown if row["shown_at"] < self.test]
        start = before[int(0.7 * (len(before) - 1))]["shown_at"] if before else self.test
        edges = self.segments(self.test)
        found, config = self.config()
        policy = cast(OfferPolicy, cast(Any, found)(config))
        policy.fit(self.exposures(None, start - timedelta(days=RESPONSE_DAYS), edges), self.terms, edges)
        last = self.exposures(start, self.test, edges)
        if not len(last["converted"]):
            return float("nan")
        return -metrics.log_loss(last["converted"], predicted(policy, last, alike=False))

    @cached_property
    def last(self) -> dict[str, NDArray[Any]]:
        return self.exposures(self.test, self.cutoff, self.segments(self.test))

    def judge(self, model: Model) -> Judgement:
        policy = cast(OfferPolicy, model)
        outcome = self.last["converted"]
        rate = predicted(policy, self.last, alike=is_alike(policy))

        def measure(at: Indices) -> dict[str, float]:
            y, p = outcome[at], rate[at]
            if not len(at):
                return {"roc_auc": float("nan")}
            return {
                "roc_auc": metrics.roc_auc(y, p),
                "log_loss": metrics.log_loss(y, p),
                "brier": metrics.brier(y, p),
                "expected_calibration_error": metrics.expected_calibration_error(y, p, bins=5),
                "lift_at_10": metrics.lift_at(y, p),
            }

        return Judgement(measure, len(outcome), self.primary)

    def figures(self, model: Model) -> dict[str, Figure]:
        if not len(self.last["converted"]):
            return {}
        policy = cast(OfferPolicy, model)
        rates = {
            kind: predicted(each, self.last, alike=is_alike(each))
            for kind, each in (("chosen", policy), ("overall", self.fit("overall", shipped=False)))
        }
        outcome = self.last["converted"]
        by_segment = {
            str(name): float(outcome[self.last["segment"] == name].mean())
            for name in np.unique(self.last["segment"])
        }
        return {
            "gain": plots.gain(outcome, rates, "responses to offers", "share of responses found"),
            "calibration": plots.calibration(outcome, rates, "response"),
            "importance": plots.bars(
                by_segment, "Response by segment on the last window", "share who responded"
            ),
        }

    def references(self, model: Model) -> dict[str, str]:
        return cast(OfferPolicy, model).references

    def facts(self) -> dict[str, Any]:
        return {
            "offers": len(self.offers),
            "exposures": len(self.shown),
            "fit_until": f"{self.test - timedelta(days=RESPONSE_DAYS):%Y-%m-%d}",
            "test_cutoff": f"{self.test:%Y-%m-%d}",
            "test_exposures": len(self.last["converted"]) if self.shown else 0,
            "test_response_rate": round(float(self.last["converted"].mean()), 4) if self.shown else None,
        }

    def warnings(self) -> list[str]:
        if not self.shown:
            return ["Nothing was ever shown: the policy answers `none` until offers and exposures exist."]
        randomised = len({row["propensity"] for row in self.shown}) == 1
        told = ["Rates are of response, not of effect: responders may have bought anyway."]
        if not randomised:
            told.append(
                "Propensities differ between offers; unless they were drawn at random, compare with care."
            )
        return told

    def space(self, trial: Trial, part: str) -> dict[str, Any]:
        return {
            "prior_rate": trial.suggest_float("prior_rate", 0.001, 0.2, log=True),
            "prior_strength": trial.suggest_float("prior_strength", 5, 2000, log=True),
        }


def is_alike(policy: OfferPolicy) -> bool:
    """Whether a policy was fitted on everybody as one segment."""
    segments = {segment for segment, _ in policy.rates.tallies}
    return segments <= {ANYBODY}


def predicted(policy: OfferPolicy, shown: dict[str, NDArray[Any]], alike: bool) -> NDArray[np.float64]:
    """The response rate that a policy expects of each exposure."""
    segments = np.full(len(shown["segment"]), ANYBODY) if alike else shown["segment"]
    pairs = [(str(one), str(other)) for one, other in zip(segments, shown["offer_id"], strict=True)]
    rates = {pair: policy.rates.response(*pair).rate for pair in set(pairs)}
    return np.array([rates[pair] for pair in pairs])

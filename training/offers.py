"""The offers job: effects from what was shown at random, judged by what the policy would have earned."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from features.build import built_cutoffs
from features.offline import snapshot
from patron.models.base import Model
from patron.models.offer_config import OfferPolicyConfig
from patron.models.offer_log import OfferLog
from patron.models.offers import OfferPolicy
from patron.models.rule_files import rules_of
from patron.models.segments import Segments, SegmentsConfig
from patron.offers.catalogue import Catalogue, shop_catalogue
from patron.offers.terms import NONE
from patron.settings import Settings
from training import metrics, offer_evidence, offer_gate, plots
from training.bootstrap import Judgement
from training.consent import withheld
from training.exposures import Exposures, last_part
from training.gate import Limits, Verdict
from training.job import Job
from training.labels import Orders, horizon_of
from training.policy_value import Replay, judgement, responses

if TYPE_CHECKING:
    from datetime import datetime

    from matplotlib.figure import Figure
    from optuna import Trial

TEST_SHARE = 0.3


class OffersJob(Job):
    """Two candidates: an effect for each customer, and the baseline that treats all customers alike."""

    short = "offers"
    kinds = ("learned", "average")
    baseline = "average"
    primary = "policy_value"

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.cutoffs = built_cutoffs(settings)
        self.cutoff = self.cutoffs[-1]
        self.orders = Orders(settings)
        self.horizon_days = horizon_of(settings, self.orders)
        known, kept = self.orders.costs(self.cutoffs[0])
        config = self.policy_config
        share = kept if known > 0.5 else config.margin_rate
        self.exposures = Exposures(
            settings, self.cutoffs, self.orders, config.outcome_days, config.randomised_policies, share
        )
        self.test = last_part(self.exposures, self.cutoffs, TEST_SHARE)

    @property
    def policy_config(self) -> OfferPolicyConfig:
        return cast(OfferPolicyConfig, self.config()[1])

    @cached_property
    def catalogue(self) -> Catalogue:
        """Grouped by the arm under which each offer was mostly shown (its campaign type)."""
        return shop_catalogue(self.settings, self.exposures.groups)

    def rules(self) -> dict[str, Any]:
        told = [each.model_dump(mode="json") for each in self.catalogue.offers]
        return {"segments": self.segment_rules.model_dump(), "offers": told}

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

    def log(self, since: datetime | None, until: datetime) -> OfferLog:
        """What was shown from `since` on and had ended, and was known, by `until`."""
        references = list(OfferPolicy(self.policy_config).references)
        return self.exposures.log(self.exposures.ended(since, until), references, until)

    def open(self) -> OfferPolicy:
        """A policy of the configured class, nothing fitted yet."""
        found, config = self.config()
        return cast(OfferPolicy, cast(Any, found)(config))

    def fit(self, kind: str, shipped: bool) -> OfferPolicy:
        """What had not ended by the test cutoff is not learned from by the judged twin."""
        cutoff = self.cutoff if shipped else self.test
        log, edges, alike = self.log(None, cutoff), self.segments(cutoff), kind == self.baseline
        return self.open().fit(
            log, self.catalogue.offers, edges, alike=alike, seed=self.settings.seed, threads=1
        )

    def choose(self) -> tuple[str, dict[str, float]]:
        """What cross-fitting on the exposures before the test says: an effect a customer, or the average."""
        found = self.fit("learned", shipped=False)
        self.say(f"{found.learned.name}: {found.learned.reason}")
        return ("learned" if found.learned.personal else self.baseline), {}

    def validate(self) -> float:
        """Log-likelihood of the responses in the newest third of what had ended before the test window."""
        before = self.exposures.ended(None, self.test)
        if not len(before):
            return float("nan")
        start = self.exposures.rows[before[int((1 - TEST_SHARE) * (len(before) - 1))]]["shown_at"]
        early, late = self.log(None, start), self.log(start, self.test)
        policy = self.open().fit(early, self.catalogue.offers, self.segments(self.test), alike=True)
        outcome, rate = responses(policy, late)
        return -metrics.log_loss(outcome, rate) if len(outcome) else float("nan")

    @cached_property
    def last(self) -> Replay:
        """What was shown after the test cutoff and has ended."""
        places = self.exposures.ended(self.test, self.cutoff)
        log = self.log(self.test, self.cutoff)
        moments = [self.exposures.rows[place]["shown_at"] for place in places.tolist()]
        customers = [self.exposures.ids[place] for place in places.tolist()]
        return Replay.of(log, customers, moments, self.catalogue)

    def judge(self, model: Model) -> Judgement:
        return judgement(cast(OfferPolicy, model), self.last, self.primary)

    def verdict(
        self,
        challenger: Judgement,
        baseline: Judgement | None,
        champion: Judgement | None,
        allowed: Limits,
    ) -> Verdict:
        return offer_gate.decide(challenger, baseline, champion, allowed, self.settings.seed)

    def evidence(self, model: Model) -> dict[str, Any]:
        """What these exposures can and cannot show, with every estimate of the policy's value."""
        return offer_evidence.evidence(self, cast(OfferPolicy, model))

    def figures(self, model: Model) -> dict[str, Figure]:
        policy, found = cast(OfferPolicy, model), {}
        outcome, rate = responses(policy, self.last.log)
        if len(outcome):
            found["responses"] = plots.calibration(outcome, {"policy": rate}, "response")
        values = offer_evidence.values(policy, self.last)
        if values:
            told = {name: each["value"] for name, each in values.items()}
            found["policy_value"] = plots.bars(told, "What policies would have earned", "margin a decision")
        return found

    def references(self, model: Model) -> dict[str, str]:
        return cast(OfferPolicy, model).references

    def facts(self) -> dict[str, Any]:
        drawn = int(self.exposures.randomised.sum())
        return {
            "offers": len(self.catalogue.offers),
            "exposures": len(self.exposures),
            "drawn_at_random": drawn,
            "left_alone": int(sum(row["offer_id"] == NONE for row in self.exposures.rows)),
            "outcome": self.policy_config.outcome,
            "outcome_days": self.policy_config.outcome_days,
            "test_cutoff": f"{self.test:%Y-%m-%d}",
            "test_exposures": len(self.last.log),
            "test_drawn_at_random": len(self.last.drawn),
        }

    def warnings(self) -> list[str]:
        if not len(self.exposures):
            return ["Nothing was ever shown: the policy explores until offers and exposures exist."]
        if not self.exposures.randomised.any():
            return [
                "No exposure was drawn at random: responses are known, effects are not. The policy leaves "
                "customers alone but for the shares that explore. See: patron evaluate offers"
            ]
        return []

    def space(self, trial: Trial, part: str) -> dict[str, Any]:
        return {
            "prior_rate": trial.suggest_float("prior_rate", 0.001, 0.2, log=True),
            "prior_strength": trial.suggest_float("prior_strength", 5, 2000, log=True),
        }

"""The replenishment job: which products are bought again, and when, at the cutoffs of stored histories."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from features.build import built_cutoffs
from features.offline import snapshot
from patron.models.base import DAY, HISTORY, Model
from patron.models.bought_pairs import Pairs, pairs
from patron.models.catalogue import Catalogue
from patron.models.replenishment import Replenishment, ReplenishmentConfig, replenishable
from patron.models.usual_intervals import UsualIntervals
from patron.settings import Settings
from training import plots
from training.bootstrap import Judgement
from training.consent import withheld
from training.job import Job
from training.pair_metrics import PairOutcomes
from training.purchases import Purchases
from training.windows import split

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Trial

NEWEST = 3
"""Windows that are learned from: more of them, older, changed nothing."""
Lesson = tuple[NDArray[np.float64], NDArray[np.float64]]


class ReplenishmentJob(Job):
    """Pairs of customer and product at cutoffs, with the days until each was bought again.

    What is known of a product (its usual interval, its repeat rate) is known as of each cutoff.
    """

    short = "replenishment"
    kinds = ("hazard", "own_interval", "usual_interval")
    baseline = "own_interval"
    primary = "roc_auc"

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.days = self.model_config().days
        self.horizon_days = max(self.days)
        self.cutoffs = built_cutoffs(settings, "customer_product_affinity")
        self.judged, self.shipped = split(self.cutoffs, self.horizon_days)
        self.test, self.cutoff = self.judged.test, self.shipped.test
        self.purchases = Purchases(settings)
        self.known: dict[datetime, UsualIntervals] = {}
        self.found: dict[datetime, tuple[Pairs, NDArray[np.float64]]] = {}

    def model_config(self) -> ReplenishmentConfig:
        return cast(ReplenishmentConfig, self.config()[1])

    def forget(self) -> None:
        self.found = {}

    @cached_property
    def catalogue(self) -> Catalogue:
        return self.purchases.catalogue(stock=False)

    def usual(self, cutoff: datetime) -> UsualIntervals:
        """How products were bought again before the cutoff."""
        if cutoff not in self.known:
            self.known[cutoff] = UsualIntervals.fit(self.purchases.until(cutoff), self.catalogue)
        return self.known[cutoff]

    def followed(self, cutoff: datetime) -> tuple[Pairs, NDArray[np.float64]]:
        """(replenishable pairs as the feature store has them, days until each was bought again or inf)."""
        if cutoff not in self.found:
            rows = snapshot(self.settings, list(HISTORY), cutoff)
            refused = withheld(self.settings)
            rows = rows.take(np.array([each not in refused for each in rows.ids], dtype=bool))
            every = pairs(rows.columns)
            found = every.take(replenishable(every, self.usual(cutoff), self.model_config()))
            self.found[cutoff] = found, waits(self.purchases, rows.ids, found, cutoff, self.horizon_days)
        return self.found[cutoff]

    def model(self, kind: str) -> Replenishment:
        found, config = self.config(kind=kind)
        return cast(Replenishment, cast(Any, found)(config))

    def lesson(self, kind: str, cutoff: datetime, until: datetime) -> Lesson:
        """(inputs, waits) of a cutoff, as far as they were known at `until`."""
        found, after = self.followed(cutoff)
        known = np.where(after < (until - cutoff).total_seconds() / DAY, after, np.inf)
        return self.model(kind).knowing(self.usual(cutoff)).inputs(found), known

    def raw(self, kind: str, cutoffs: Sequence[datetime], until: datetime) -> Replenishment:
        """Fitted on cutoffs whose windows ended by `until`, but not calibrated."""
        lessons = [self.lesson(kind, each, until) for each in cutoffs]
        inputs, after = (np.concatenate([each[place] for each in lessons]) for place in (0, 1))
        return self.model(kind).fit(inputs, after)

    def fit(self, kind: str, shipped: bool) -> Replenishment:
        """Learn from the newest whole windows; the level of each period is that of its own newest one."""
        windows = self.shipped if shipped else self.judged
        model = self.raw(kind, [*windows.fit, windows.calibrate][-NEWEST:], windows.test)
        cases = [self.lesson(kind, self.freshest(days, windows.test), windows.test) for days in self.days]
        return model.calibrate(cases).knowing(self.usual(windows.test), self.catalogue)

    def freshest(self, days: int, until: datetime) -> datetime:
        """The newest cutoff of which so many days were known at `until`."""
        return max(each for each in self.cutoffs if each <= until - timedelta(days=days))

    def validated(self, kind: str) -> float:
        """The primary metric, uncalibrated, on the calibration window, which the fit did not see."""
        cutoff = self.judged.calibrate
        model = self.raw(kind, self.judged.fit, cutoff).knowing(self.usual(cutoff))
        return self.outcomes(model, cutoff).judgement(self.primary).metrics[self.primary]

    def choose(self) -> tuple[str, dict[str, float]]:
        found = {kind: self.validated(kind) for kind in self.kinds}
        return max(found, key=lambda kind: np.nan_to_num(found[kind], nan=-1.0)), found

    def validate(self) -> float:
        return self.validated("hazard")

    def outcomes(self, model: Replenishment, cutoff: datetime) -> PairOutcomes:
        """Every model is judged on the same pairs, whatever it holds to be replenishable itself."""
        found, after = self.followed(cutoff)
        return PairOutcomes(found.customer, after, model.within(found), self.days)

    def judge(self, model: Model) -> Judgement:
        found = self.outcomes(cast(Replenishment, model), self.test)
        return found.judgement(self.primary, found.calibration(self.settings.seed))

    def figures(self, model: Model) -> dict[str, Figure]:
        replenishment = cast(Replenishment, model)
        found, after = self.followed(self.test)
        if not len(found):
            return {}
        bought = (after < self.horizon_days).astype(np.float64)
        chances = {
            kind: each.within(found)[:, -1]
            for kind, each in (
                (replenishment.config.kind, replenishment),
                (self.baseline, self.fit(self.baseline, shipped=False)),
            )
        }
        what = f"bought again in {self.horizon_days} days"
        hazard = replenishment.fitted()
        weights = dict(zip(hazard.names, np.abs(hazard.weights).mean(axis=1).tolist(), strict=True))
        return {
            "calibration": plots.calibration(bought, chances, what),
            "gain": plots.gain(bought, chances, what, "share of repeat purchases found"),
            "importance": plots.bars(
                weights, "What moves the hazard", "mean |weight| of a standardised input"
            ),
        }

    def references(self, model: Model) -> dict[str, str]:
        return cast(Replenishment, model).references

    def facts(self) -> dict[str, Any]:
        found, after = self.followed(self.test)
        usual = self.usual(self.test)
        least = self.model_config().least_repeat_rate
        fitted = [*self.judged.fit, self.judged.calibrate][-NEWEST:]
        return {
            "days": ", ".join(map(str, self.days)),
            "fit_cutoffs": ", ".join(f"{each:%Y-%m-%d}" for each in fitted),
            "calibration_cutoffs": ", ".join(
                f"{self.freshest(days, self.test):%Y-%m-%d}" for days in self.days
            ),
            "test_cutoff": f"{self.test:%Y-%m-%d}",
            "replenishable_products": int((usual.repeat_rates >= least).sum()),
            "products": len(usual.product_ids),
            "own_gaps_worth_the_usual_interval": round(usual.credibility, 2),
            "test_pairs": len(found),
            "test_customers": len(np.unique(found.customer)),
            "test_bought_again": round(float((after < self.horizon_days).mean()), 4) if len(found) else None,
        }

    def warnings(self) -> list[str]:
        _, after = self.followed(self.test)
        if np.isfinite(after).any():
            return []
        return ["No replenishable product was bought again in the last window: nothing could be judged."]

    def space(self, trial: Trial, part: str) -> dict[str, Any]:
        return {"penalty": trial.suggest_float("penalty", 0.1, 1000.0, log=True)}


def waits(
    purchases: Purchases, ids: list[str], found: Pairs, cutoff: datetime, days: int
) -> NDArray[np.float64]:
    """Days from the cutoff until each pair was bought again; inf where not within `days`."""
    start = int(cutoff.timestamp())
    within = (purchases.at >= start) & (purchases.at < start + days * DAY) & (purchases.customer >= 0)
    width = len(purchases.products) + 1
    # The lines are the oldest first, so the first of each key is the earliest.
    keys, first = np.unique(purchases.customer[within] * width + purchases.product[within], return_index=True)
    earliest = (purchases.at[within][first] - start) / DAY
    mine = codes(purchases.customers, ids)[found.customer] * width
    mine += codes(purchases.products, found.product_ids.tolist())
    place = np.searchsorted(keys, mine)
    there = np.append(keys, -1)[place] == mine
    return np.where(there, np.append(earliest, np.inf)[place], np.inf)


def codes(names: NDArray[np.str_], asked: list[str]) -> NDArray[np.int64]:
    """Place of each asked name, len(names) where it is not among them: no key of a purchase has that."""
    places = {name: place for place, name in enumerate(names.tolist())}
    return np.array([places.get(each, len(names)) for each in asked], dtype=np.int64)

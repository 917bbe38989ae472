"""The recommender job: fit before a window, choose weights on the one before it, rank the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from features.build import built_cutoffs
from features.offline import snapshot
from patron.errors import DataError
from patron.models.base import HISTORY, CustomerHistory, Model, history
from patron.models.blend import Blend
from patron.models.popularity import Popularity
from patron.models.products import top
from patron.settings import Settings
from training import metrics, plots
from training.bootstrap import Indices, Judgement
from training.job import Job
from training.purchases import Basket, Purchases, baskets

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Trial

SOURCES = ("buy_again", "item_item", "als", "popularity")
POPULARITY_WINDOWS = (7, 14, 28, 56, 91, 182)
DEPTH = 20
"""Products that are ranked for each customer; metrics look at 10 and 20 of them."""
KS = (1, 3, 5, 10, 20)


@dataclass(frozen=True)
class Ranked:
    """Full-catalogue rankings of one model on one window."""

    shown: NDArray[np.int64]
    """(customers, DEPTH) positions, -1 where the model had nothing more to say."""
    hits: NDArray[np.bool_]
    again: NDArray[np.bool_]
    """(customers, DEPTH): a product that the customer had bought before."""


class RecommenderJob(Job):
    short = "recommender"
    kinds = ("blend", *SOURCES)
    baseline = "popularity"
    primary = "ndcg_at_10"

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.horizon_days = settings.test_window_days
        cutoffs = built_cutoffs(settings, "customer_product_affinity")
        self.cutoff = cutoffs[-1]
        self.test = latest_before(cutoffs, self.cutoff, self.horizon_days)
        self.validation = latest_before(cutoffs, self.test, self.horizon_days)
        self.purchases = Purchases(settings)
        self.fitted: dict[datetime, Blend] = {}
        self.panels: dict[datetime, tuple[Basket, list[CustomerHistory]]] = {}
        self.chosen: dict[str, Any] | None = None
        self.rankings: dict[str, Ranked] = {}

    def forget(self) -> None:
        self.fitted, self.chosen, self.rankings = {}, None, {}

    def fitted_at(self, cutoff: datetime) -> Blend:
        """All sources, fitted on what was bought before the cutoff; once a job."""
        if cutoff not in self.fitted:
            found, config = self.config()
            blend = cast(Blend, cast(Any, found)(config))
            interactions = self.purchases.until(cutoff)
            blend.fit(
                interactions,
                self.purchases.catalogue(stock=cutoff == self.cutoff),
                seed=self.settings.seed,
                threads=self.settings.threads,
            )
            self.fitted[cutoff] = blend
        return self.fitted[cutoff]

    def panel(self, cutoff: datetime) -> tuple[Basket, list[CustomerHistory]]:
        """Who bought in the window after the cutoff, and what each had bought as the feature store has it."""
        if cutoff not in self.panels:
            basket = self.basket(cutoff, self.purchases.until(cutoff).product_ids)
            rows = snapshot(self.settings, list(HISTORY), cutoff)
            place = {name: position for position, name in enumerate(rows.ids)}
            histories = [
                history(rows.columns, place[name]) if name in place else CustomerHistory.empty()
                for name in basket.customers
            ]
            self.panels[cutoff] = basket, histories
        return self.panels[cutoff]

    def basket(self, cutoff: datetime, product_ids: NDArray[np.str_]) -> Basket:
        return baskets(self.purchases, product_ids, cutoff, self.horizon_days)

    def settled(self) -> dict[str, Any]:
        """Popularity's window and the blend's weights, chosen on the validation window alone."""
        if self.chosen is None:
            blend = copy(self.fitted_at(self.validation))
            basket, histories = self.panel(self.validation)
            by_window = {}
            for days in POPULARITY_WINDOWS:
                popular = self.popularity(self.validation, days)
                by_window[days] = self.ndcg(popular.scores, blend, self.validation)
            window = max(by_window, key=lambda days: by_window[days])
            blend.popularity = self.popularity(self.validation, window)
            reached = blend.fit_weights(histories, basket.bought, seed=self.settings.seed)
            self.chosen = {
                "popularity_window_days": window,
                "weights": blend.weights["home"],
                "validation_ndcg_at_10": reached,
            }
        return self.chosen

    def popularity(self, cutoff: datetime, window_days: int) -> Popularity:
        config = self.fitted_at(cutoff).config.popularity.model_copy(update={"window_days": window_days})
        popular = Popularity(config)
        popular.fit(self.purchases.until(cutoff), seed=self.settings.seed, threads=1)
        return popular

    def fit(self, kind: str, shipped: bool) -> Blend:
        """A blend with the chosen weights, or with all weight on one source."""
        settled = self.settled()
        cutoff = self.cutoff if shipped else self.test
        blend = copy(self.fitted_at(cutoff))
        blend.popularity = self.popularity(cutoff, settled["popularity_window_days"])
        weights = settled["weights"] if kind == "blend" else {kind: 1.0}
        blend.weights = {**blend.weights, "home": weights}
        return blend

    def choose(self) -> tuple[str, dict[str, float]]:
        settled = self.settled()
        scores = {"blend": settled["validation_ndcg_at_10"]}
        at_validation = copy(self.fitted_at(self.validation))
        at_validation.popularity = self.popularity(self.validation, settled["popularity_window_days"])
        for source in SOURCES:
            at_validation.weights = {**at_validation.weights, "home": {source: 1.0}}
            scores[source] = self.ndcg(at_validation.scores, at_validation, self.validation)
        return max(scores, key=lambda kind: scores[kind]), scores

    def validate(self) -> float:
        return float(self.settled()["validation_ndcg_at_10"])

    def ndcg(
        self, scores: Callable[[CustomerHistory], NDArray[np.float32]], blend: Blend, cutoff: datetime
    ) -> float:
        ranked = self.ranked(scores, blend, cutoff)
        basket, _ = self.panel(cutoff)
        return float(metrics.ndcg_at(ranked.hits, counts(basket.bought), 10).mean())

    def tested(self, blend: Blend) -> Ranked:
        """Rankings of the test window; each recipe of this job is ranked once."""
        if blend.als is not self.fitted_at(self.test).als:
            return self.ranked(blend.scores, blend, self.test)
        recipe = str((blend.weights["home"], blend.popularity.config))
        if recipe not in self.rankings:
            self.rankings[recipe] = self.ranked(blend.scores, blend, self.test)
        return self.rankings[recipe]

    def ranked(
        self, scores: Callable[[CustomerHistory], NDArray[np.float32]], blend: Blend, cutoff: datetime
    ) -> Ranked:
        """A blend of another cutoff ranks another catalogue: what was bought is looked up in its own."""
        basket, histories = self.panel(cutoff)
        if blend.catalogue is not self.fitted_at(cutoff).catalogue:
            basket = self.basket(cutoff, blend.catalogue.product_ids)
        mask = blend.catalogue.available
        shown = np.full((len(histories), DEPTH), -1, dtype=np.int64)
        for row, one in enumerate(histories):
            found = top(scores(one), DEPTH, mask)
            shown[row, : len(found)] = found
        hits = within(shown, basket.bought)
        return Ranked(shown, hits, within(shown, basket.before))

    def judge(self, model: Model) -> Judgement:
        blend = cast(Blend, model)
        basket, histories = self.panel(self.test)
        ranked = self.tested(blend)
        relevant = counts(basket.bought)
        repeated = [np.isin(b, p[p >= 0]) for b, p in zip(basket.bought, basket.before, strict=True)]
        repeats = np.array([each.sum() for each in repeated])
        buyers = popular_counts(self.purchases, blend, self.test)
        customers = len(np.unique(self.purchases.pairs(0, self.test.timestamp())[:, 0]))
        values = {
            "ndcg_at_10": metrics.ndcg_at(ranked.hits, relevant, 10),
            "recall_at_10": metrics.recall_at(ranked.hits, relevant, 10),
            "recall_at_20": metrics.recall_at(ranked.hits, relevant, 20),
            "hit_rate_at_10": metrics.hit_rate_at(ranked.hits, 10),
            "novelty_at_10": metrics.novelty(ranked.shown[:, :10], buyers, customers),
            "diversity_at_10": metrics.intra_list_diversity(
                [blend.catalogue.categories[each[each >= 0]] for each in ranked.shown[:, :10]]
            ),
            "repeat_recall_at_10": masked(
                metrics.recall_at(ranked.hits & ranked.again, repeats, 10), repeats > 0
            ),
            "explore_recall_at_10": masked(
                metrics.recall_at(ranked.hits & ~ranked.again, relevant - repeats, 10), relevant > repeats
            ),
        }

        def measure(at: Indices) -> dict[str, float]:
            return {name: float(np.nanmean(each[at])) for name, each in values.items()}

        whole = {"coverage_at_10": metrics.coverage(ranked.shown[:, :10], len(blend.catalogue))}

        lengths = np.array([len(each) for each in histories])
        slices = {
            "new customers": np.flatnonzero(lengths == 0),
            "under 20 products": np.flatnonzero((lengths > 0) & (lengths < 20)),
            "20 products and more": np.flatnonzero(lengths >= 20),
        }
        return Judgement(measure, len(histories), self.primary, slices, whole)

    def figures(self, model: Model) -> dict[str, Figure]:
        curves, basket = {}, self.panel(self.test)[0]
        for kind in self.kinds:
            hits = self.tested(self.fit(kind, shipped=False)).hits
            curves[kind] = [float(metrics.recall_at(hits, counts(basket.bought), k).mean()) for k in KS]
        weights = cast(Blend, model).weights["home"]
        return {
            "recall_by_k": plots.by_k(curves, KS, "recall"),
            "importance": plots.bars(weights, "Weight of each source", "weight (they sum to 1)"),
        }

    def references(self, model: Model) -> dict[str, str]:
        return dict(HISTORY)

    def facts(self) -> dict[str, Any]:
        basket, histories = self.panel(self.test)
        return {
            "window_days": self.horizon_days,
            "validation_cutoff": f"{self.validation:%Y-%m-%d}",
            "test_cutoff": f"{self.test:%Y-%m-%d}",
            "test_customers": len(basket.customers),
            "test_new_customers": sum(1 for each in histories if not len(each)),
            "products": len(self.fitted_at(self.test).catalogue),
            "popularity_window_days": self.settled()["popularity_window_days"],
            "weights": self.settled()["weights"],
            "products_bought_outside_the_catalogue": int(sum((each < 0).sum() for each in basket.bought)),
        }

    def warnings(self) -> list[str]:
        return [
            "Relevant is what was bought in the window, repeats included; repeat and explore recall apart.",
            "Every visible product sold in the year before the cutoff is ranked; what was bought but is not "
            "among them counts as missed.",
            "Lines of one order carry one time: nothing is assumed about their order within it.",
        ]

    def space(self, trial: Trial) -> dict[str, Any]:
        return {
            "als": {
                "factors": trial.suggest_categorical("factors", [32, 64, 128]),
                "regularization": trial.suggest_float("regularization", 0.001, 10, log=True),
                "alpha": trial.suggest_float("alpha", 1, 100, log=True),
            },
            "buy_again": {"half_life_days": trial.suggest_float("half_life_days", 10, 240, log=True)},
            "item_item": {"shrinkage": trial.suggest_float("shrinkage", 0.1, 100, log=True)},
        }


def latest_before(cutoffs: list[datetime], end: datetime, days: int) -> datetime:
    found = [each for each in cutoffs if each <= end - timedelta(days=days)]
    if not found:
        raise DataError(
            f"The history is too short: no cutoff lies {days} days before {end:%Y-%m-%d}. Import more "
            "history, or set a shorter test_window_days."
        )
    return found[-1]


def counts(lists: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.array([len(each) for each in lists], dtype=np.int64)


def within(shown: NDArray[np.int64], lists: list[NDArray[np.int64]]) -> NDArray[np.bool_]:
    """True where a shown position is in the customer's list."""
    found = np.zeros(shown.shape, dtype=bool)
    for row, each in enumerate(lists):
        found[row] = np.isin(shown[row], each[each >= 0])
    return found


def masked(values: NDArray[np.float64], keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """NaN where the customer has nothing of the kind; means leave those out."""
    return np.where(keep, values, np.nan)


def popular_counts(purchases: Purchases, blend: Blend, cutoff: datetime) -> NDArray[np.float64]:
    """Distinct customers who bought each product of the catalogue before the cutoff; 0 for an unknown one."""
    pairs = purchases.pairs(0, cutoff.timestamp())
    bought = np.bincount(pairs[:, 1], minlength=len(purchases.products))
    place = {name: position for position, name in enumerate(purchases.products.tolist())}
    positions = np.array(
        [place.get(name, -1) for name in blend.catalogue.product_ids.tolist()], dtype=np.int64
    )
    return np.where(positions >= 0, bought[positions], 0).astype(np.float64)

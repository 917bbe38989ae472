"""The recommender job: fit before a window, choose weights on the one before it, rank the catalogue."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from features.build import built_cutoffs
from features.offline import snapshot
from patron.errors import DataError
from patron.models.base import HISTORY, PROFILE, CustomerHistory, Model, history
from patron.models.blend import Blend, BlendConfig
from patron.models.ranker import Ranker
from patron.models.sources import SOURCES
from patron.settings import Settings
from training import metrics, plots
from training.bootstrap import Indices, Judgement
from training.job import Job
from training.parts import RANKER, SPACES, Lesson, lessons, ranker_scores, source_scores
from training.purchases import Basket, Purchases, baskets
from training.ranking import (
    COMPOSITES,
    Ranked,
    Settled,
    Window,
    fit_ranker,
    popularity_window,
    settle,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Trial

KS = (1, 3, 5, 10, 20)


class RecommenderJob(Job):
    """Sources are fitted before each window; what is chosen is chosen on the windows before the last.

    earlier | validation | test: the ranker learns from the first, everything is chosen on the second, and the
    judged twin's ranker, learned from both, is judged on the third. What ships moved on by one window.
    """

    short = "recommender"
    baseline = "popularity"
    primary = "ndcg_at_10"

    def __init__(self, settings: Settings, overrides: dict[str, Any] | None = None) -> None:
        super().__init__(settings, overrides)
        self.horizon_days = settings.test_window_days
        cutoffs = built_cutoffs(settings, "customer_product_affinity")
        self.cutoff = cutoffs[-1]
        self.test = latest_before(cutoffs, self.cutoff, self.horizon_days)
        self.validation = latest_before(cutoffs, self.test, self.horizon_days)
        earlier = self.validation - timedelta(days=self.horizon_days)
        self.earlier = [each for each in cutoffs if each <= earlier][-1:]
        self.purchases = Purchases(settings)
        self.panels: dict[datetime, tuple[Basket, list[CustomerHistory]]] = {}
        self.forget()

    def forget(self) -> None:
        self.window_days: int | None = None
        self.fitted: dict[datetime, Blend] = {}
        self.windows: dict[datetime, Window] = {}
        self.chosen: Settled | None = None
        self.rankers: dict[bool, Ranker] = {}
        self.rankings: dict[str, Ranked] = {}
        self.taught: list[Lesson] | None = None

    @property
    def kinds(self) -> tuple[str, ...]:  # type: ignore[override]
        """The composites, where there is enough to fit a ranker, and every source that is weighted."""
        known = self.settled().validation
        return (*(each for each in COMPOSITES if each in known), *self.model_config().asked())

    def model_config(self) -> BlendConfig:
        return cast(BlendConfig, self.config()[1])

    def fitted_at(self, cutoff: datetime) -> Blend:
        """All sources, fitted on what was bought before the cutoff; once a job."""
        if cutoff not in self.fitted:
            chosen = {"window_days": self.popularity_window()}
            blend = Blend(cast(BlendConfig, self.config(popularity=chosen)[1]))
            newest = cutoff == self.cutoff
            blend.fit(
                self.purchases.until(cutoff, profiles=newest),
                self.purchases.catalogue(stock=newest),
                seed=self.settings.seed,
                threads=self.settings.threads,
                checkpoint=self.checkpoint(cutoff),
                say=lambda what: self.say(f"Before {cutoff:%Y-%m-%d}: {what}"),
            )
            self.fitted[cutoff] = blend
        return self.fitted[cutoff]

    def checkpoint(self, cutoff: datetime) -> Path:
        """Where a long fit of this cutoff goes on when it was cut short."""
        folder = self.settings.home / "tmp" / "checkpoints" / f"{cutoff:%Y-%m-%d}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def popularity_window(self) -> int:
        """The window with which popularity does best on the validation window."""
        if self.window_days is None:
            interactions = self.purchases.until(self.validation)
            available = self.purchases.catalogue(stock=False).aligned(interactions.product_ids).available
            basket, _ = self.panel(self.validation)
            self.window_days = popularity_window(
                self.model_config().popularity, interactions, basket.bought, available
            )
        return self.window_days

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

    def window(self, cutoff: datetime) -> Window:
        """The window after the cutoff, as the sources fitted before it see it."""
        if cutoff not in self.windows:
            basket, histories = self.panel(cutoff)
            self.windows[cutoff] = Window(self.fitted_at(cutoff), histories, basket.bought, basket.before)
        return self.windows[cutoff]

    def settled(self) -> Settled:
        """What is chosen on the validation window."""
        if self.chosen is None:
            windows = [self.window(each) for each in (*self.earlier, self.validation)]
            if not sum(map(len, windows[-1].bought)):
                raise DataError(
                    "No customer bought anything in the validation window. Use an earlier cutoff."
                )
            self.chosen = settle(windows, seed=self.settings.seed, threads=self.settings.threads)
        return self.chosen

    def ranker(self, shipped: bool) -> Ranker:
        """Learned from the windows before the test window; the shipped one from those moved on by one."""
        if shipped not in self.rankers:
            cutoffs = [*self.earlier, self.validation, self.test]
            windows = [self.window(each) for each in (cutoffs[1:] if shipped else cutoffs[:-1])]
            weights, seed = self.settled().weights, self.settings.seed
            self.rankers[shipped] = fit_ranker(windows, weights, seed=seed, threads=self.settings.threads)
        return self.rankers[shipped]

    def fit(self, kind: str, shipped: bool) -> Blend:
        """Candidates ordered by the ranker or by weights, or the answers of one source."""
        settled = self.settled()
        blend = self.fitted_at(self.cutoff if shipped else self.test)
        if kind not in COMPOSITES:
            return blend.variant(home={kind: 1.0})
        return blend.variant(
            home=settled.weights,
            ranker=self.ranker(shipped) if kind == "ranker" else None,
            new_places=settled.new_places[kind],
        )

    def choose(self) -> tuple[str, dict[str, float]]:
        settled = self.settled()
        return settled.best, settled.validation

    def simpler(self, kind: str) -> str | None:
        return self.settled().best_source if kind in COMPOSITES else None

    def validate(self) -> float:
        settled = self.settled()
        return settled.validation[settled.best]

    def judged_window(self, blend: Blend) -> Window:
        """The test window; a blend of another fit ranks its own catalogue."""
        window = self.window(self.test)
        if blend.catalogue is window.blend.catalogue:
            return window
        basket = self.basket(self.test, blend.catalogue.product_ids)
        return Window(blend, window.histories, basket.bought, basket.before)

    def tested(self, blend: Blend) -> Ranked:
        """Rankings of the test window; each candidate of this job is ranked once."""
        if blend.catalogue is not self.fitted_at(self.test).catalogue:
            return self.judged_window(blend).ranked(blend)
        recipe = str((blend.weights["home"], blend.ranker is None, blend.new_places))
        if recipe not in self.rankings:
            self.rankings[recipe] = self.window(self.test).ranked(blend)
        return self.rankings[recipe]

    def judge(self, model: Model) -> Judgement:
        blend = cast(Blend, model)
        window, ranked = self.judged_window(blend), self.tested(blend)
        relevant, repeats = window.relevant, window.repeats
        buyers = popular_counts(self.purchases, blend, self.test)
        customers = len(np.unique(self.purchases.pairs(0, self.test.timestamp())[:, 0]))
        values = {
            "ndcg_at_10": window.ndcg(ranked),
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

        lengths = np.array([len(each) for each in window.histories])
        slices = {
            "new customers": np.flatnonzero(lengths == 0),
            "under 20 products": np.flatnonzero((lengths > 0) & (lengths < 20)),
            "20 products and more": np.flatnonzero(lengths >= 20),
        }
        return Judgement(measure, len(window.histories), self.primary, slices, whole)

    def figures(self, model: Model) -> dict[str, Figure]:
        curves, window, blend = {}, self.window(self.test), cast(Blend, model)
        for kind in self.kinds:
            hits = self.tested(self.fit(kind, shipped=False)).hits
            curves[kind] = [float(metrics.recall_at(hits, window.relevant, k).mean()) for k in KS]
        found = {
            "recall_by_k": plots.by_k(curves, KS, "recall"),
            "weights": plots.bars(blend.weights["home"], "Weight of each source", "weight (they sum to 1)"),
        }
        if blend.ranker is not None:
            gains = dict(list(blend.ranker.importance.items())[:25])
            found["importance"] = plots.bars(gains, "What the ranker looks at", "share of the gain")
        return found

    def references(self, model: Model) -> dict[str, str]:
        return {**HISTORY, **PROFILE}

    def facts(self) -> dict[str, Any]:
        window, settled = self.window(self.test), self.settled()
        return {
            "window_days": self.horizon_days,
            "ranker_cutoffs": [f"{each:%Y-%m-%d}" for each in self.earlier],
            "validation_cutoff": f"{self.validation:%Y-%m-%d}",
            "test_cutoff": f"{self.test:%Y-%m-%d}",
            "test_customers": len(window.histories),
            "test_new_customers": sum(1 for each in window.histories if not len(each)),
            "products": len(window.blend.catalogue),
            "nearest_products": "exact, by falling length of the vectors",
            "popularity_window_days": self.popularity_window(),
            "best_source": settled.best_source,
            "weights": settled.weights,
            "new_places": settled.new_places,
            "candidate_ceiling": window.ceiling(settled.weights, self.model_config().ranker.candidates),
            "products_bought_outside_the_catalogue": int(sum((each < 0).sum() for each in window.bought)),
        }

    def warnings(self) -> list[str]:
        return [
            "Relevant is what was bought in the window, repeats included; repeat and explore recall apart.",
            "Every visible product sold in the year before the cutoff is ranked; what was bought but is not "
            "among them counts as missed.",
            "Lines of one order carry one time: nothing is assumed about their order within it.",
        ]

    def parts(self) -> tuple[str, ...]:
        """The weighted sources that have something to tune, then the ranker."""
        return (*(each for each in self.model_config().asked() if each in SPACES), RANKER)

    def space(self, trial: Trial, part: str) -> dict[str, Any]:
        return {part: SPACES[part](trial)}

    def attempt(self, part: str, overrides: dict[str, Any]) -> Iterator[float]:
        """A source is fitted alone; a ranker anew, over candidates that are described once a job."""
        settings = cast(BlendConfig, self.config(**overrides)[1])
        how = {"seed": self.settings.seed, "threads": self.settings.threads}
        if part != RANKER:
            basket, histories = self.panel(self.validation)
            source, past = SOURCES[part](getattr(settings, part)), self.purchases.until(self.validation)
            catalogue = self.purchases.catalogue(stock=False)
            yield from source_scores(source, past, catalogue, histories, basket.bought, **how)
        elif RANKER in self.settled().validation:
            yield from ranker_scores(self.lessons(), settings.ranker, **how)
        else:
            yield math.nan  # too few purchases for a ranker

    def lessons(self) -> list[Lesson]:
        if self.taught is None:
            windows = [self.window(each) for each in (*self.earlier, self.validation)]
            self.taught = lessons(windows, self.settled().weights, self.settings.seed)
        return self.taught

    def basis(self, part: str) -> dict[str, Any]:
        """The ranker's candidates come of all sources; a source stands for itself."""
        return self.model_config().model_dump(exclude={RANKER}) if part == RANKER else {}


def latest_before(cutoffs: list[datetime], end: datetime, days: int) -> datetime:
    found = [each for each in cutoffs if each <= end - timedelta(days=days)]
    if not found:
        raise DataError(
            f"The history is too short: no cutoff lies {days} days before {end:%Y-%m-%d}. Import more "
            "history, or set a shorter test_window_days."
        )
    return found[-1]


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

"""The parts of the recommender that are tuned: what is tried of each, and how it is scored.

Each source is fitted and scored alone; the ranker is fitted anew over the same candidates. Scores are
ndcg@10 on the validation window, of samples of its customers that grow, so that a poor trial ends early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from patron.models.base import CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from patron.models.placements import Weights
from patron.models.products import top
from patron.models.ranker import Ranker, RankerConfig
from patron.models.ranking_features import Columns
from training import metrics
from training.ranking import DEPTH, Numbers, Positions, Window, apart, examples, within

if TYPE_CHECKING:
    from optuna import Trial

SAMPLES = (0.1, 0.3, 1.0)
"""Shares of the customers after which a trial tells how it does."""
RANKER = "ranker"


def half_life(trial: Trial, name: str = "half_life_days") -> float:
    return trial.suggest_float(name, 10, 365, log=True)


def buy_again(trial: Trial) -> dict[str, Any]:
    return {
        "count_exponent": trial.suggest_float("count_exponent", 0.25, 3.0),
        "lately_exponent": trial.suggest_float("lately_exponent", 0.0, 2.0),
        "repeat_exponent": trial.suggest_float("repeat_exponent", 0.0, 1.5),
        "half_life_days": half_life(trial),
        "due_weight": trial.suggest_float("due_weight", 0.0, 3.0),
    }


def item_item(trial: Trial) -> dict[str, Any]:
    return {
        "shrinkage": trial.suggest_float("shrinkage", 0.1, 100, log=True),
        "fit_half_life_days": half_life(trial, "fit_half_life_days"),
        "half_life_days": half_life(trial),
        "count_weight": trial.suggest_float("count_weight", 0.0, 3.0),
    }


def sequential_rules(trial: Trial) -> dict[str, Any]:
    return {
        "source_exponent": trial.suggest_float("source_exponent", 0.0, 1.0),
        "target_exponent": trial.suggest_float("target_exponent", 0.0, 1.0),
        "size_exponent": trial.suggest_float("size_exponent", 0.0, 1.5),
        "fit_half_life_days": half_life(trial, "fit_half_life_days"),
        "history_decay": trial.suggest_float("history_decay", 0.3, 1.0),
        "backward": trial.suggest_float("backward", 0.0, 1.0),
    }


def als(trial: Trial) -> dict[str, Any]:
    return {
        "factors": trial.suggest_categorical("factors", [32, 64, 128]),
        "regularization": trial.suggest_float("regularization", 0.01, 100, log=True),
        "alpha": trial.suggest_float("alpha", 1, 40, log=True),
        "regularization_exponent": trial.suggest_categorical("regularization_exponent", [0.5, 1.0]),
        "half_life_days": half_life(trial),
    }


def ease(trial: Trial) -> dict[str, Any]:
    return {
        "regularization": trial.suggest_float("regularization", 10, 2000, log=True),
        "fit_half_life_days": half_life(trial, "fit_half_life_days"),
    }


def content(trial: Trial) -> dict[str, Any]:
    weighed = ("category_weight", "brand_weight", "title_weight")
    return {
        **{name: trial.suggest_float(name, 0.1, 10, log=True) for name in weighed},
        "half_life_days": half_life(trial),
    }


def category_popularity(trial: Trial) -> dict[str, Any]:
    return {
        "window_days": trial.suggest_int("window_days", 7, 182, log=True),
        "half_life_days": half_life(trial),
    }


def ranker(trial: Trial) -> dict[str, Any]:
    return {
        "objective": trial.suggest_categorical("objective", ["binary", "lambdarank"]),
        "trees": trial.suggest_int("trees", 50, 400, step=25),
        "leaves": trial.suggest_int("leaves", 4, 63, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
        "min_leaf_customers": trial.suggest_int("min_leaf_customers", 20, 1000, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
    }


SPACES: dict[str, Callable[[Trial], dict[str, Any]]] = {
    "buy_again": buy_again,
    "item_item": item_item,
    "sequential_rules": sequential_rules,
    "als": als,
    "ease": ease,
    "content": content,
    "category_popularity": category_popularity,
    "together": item_item,
    RANKER: ranker,
}
"""Part -> what a trial suggests. The window of `popularity` is chosen by the job itself."""


def samples(customers: int, seed: int) -> list[Positions]:
    """All customers in an order drawn by the seed, cut where SAMPLES of them are reached."""
    order = np.random.default_rng(seed).permutation(customers)
    ends = sorted({max(1, round(share * customers)) for share in SAMPLES})
    return np.split(order, ends[:-1])


def means(parts: Iterable[Numbers]) -> Iterator[float]:
    """After each part the mean of all values so far."""
    total, count = 0.0, 0
    for each in parts:
        total, count = total + float(each.sum()), count + len(each)
        yield total / max(count, 1)


def source_scores(
    source: Recommender,
    interactions: Interactions,
    catalogue: Catalogue,
    histories: Sequence[CustomerHistory],
    bought: Sequence[Positions],
    *,
    seed: int,
    threads: int,
) -> Iterator[float]:
    """ndcg@10 of one source fitted alone. histories, bought: of each customer of the window after the fit."""
    known = catalogue.aligned(interactions.product_ids)
    source.fit(interactions, known, seed=seed, threads=threads)

    def reached(rows: Positions) -> Numbers:
        shown = np.full((len(rows), DEPTH), -1, dtype=np.int64)
        for place, row in enumerate(rows.tolist()):
            found = top(source.scores(histories[row]), DEPTH, known.available)
            shown[place, : len(found)] = found
        return ndcg(within(shown, [bought[row] for row in rows]), [bought[row] for row in rows])

    yield from means(map(reached, samples(len(bought), seed)))


def ndcg(hits: NDArray[np.bool_], bought: Sequence[Positions]) -> Numbers:
    return metrics.ndcg_at(hits, np.array([len(each) for each in bought], dtype=np.int64), 10)


@dataclass(frozen=True)
class Lesson:
    """Candidates described once, for all trials of a ranker: those to learn from and those to judge it by."""

    rows: Positions
    """Customers of the window who are judged."""
    bought: list[Positions]
    candidates: list[Columns]
    """Features of the candidates of each of them, and which were bought."""
    hits: list[NDArray[np.bool_]]
    taught: tuple[list[Columns], list[NDArray[np.bool_]]]

    @classmethod
    def of(
        cls, window: Window, rows: Positions, others: Sequence[Window], weights: Weights, seed: int
    ) -> Self:
        part = window.of(rows)
        blend, size = window.blend.variant(home=weights), window.blend.config.ranker.candidates
        pairs = zip(part.shortlists, part.histories, strict=True)
        described = [blend.candidates(shortlist, history, size) for shortlist, history in pairs]
        return cls(
            rows,
            part.bought,
            [columns for _, columns in described],
            [np.isin(kept.positions, now) for (kept, _), now in zip(described, part.bought, strict=True)],
            examples(others, weights, seed),
        )

    def ndcg(self, ranker: Ranker, chosen: Positions) -> Numbers:
        """ndcg@10 of some of the judged customers, by place in `rows`."""
        ordered = np.zeros((len(chosen), DEPTH), dtype=bool)
        for place, each in enumerate(chosen.tolist()):
            best = np.argsort(-ranker.scores(self.candidates[each]), kind="stable")[:DEPTH]
            ordered[place, : len(best)] = self.hits[each][best]
        return ndcg(ordered, [self.bought[each] for each in chosen])


def lessons(windows: Sequence[Window], weights: Weights, seed: int) -> list[Lesson]:
    """For each part of the last window's customers what judges a ranker that saw nothing of them."""
    return [Lesson.of(windows[-1], rows, others, weights, seed) for rows, others in apart(windows, seed)]


def ranker_scores(
    learned: Sequence[Lesson], config: RankerConfig, *, seed: int, threads: int
) -> Iterator[float]:
    """ndcg@10 of a ranker, no places kept. Raises DataError where no candidate was bought."""
    rankers = [Ranker.fit(config, *each.taught, seed=seed, threads=threads) for each in learned]
    cuts = [samples(len(each.rows), seed) for each in learned]

    def reached(step: int) -> Numbers:
        pairs = zip(learned, rankers, cuts, strict=True)
        return np.concatenate([each.ndcg(ranker, cut[step]) for each, ranker, cut in pairs])

    yield from means(map(reached, range(min(map(len, cuts)))))

"""Learning and judging how candidates are ordered: weights, ranker and places for new products.

A window holds customers as the sources fitted before it see them, and what they then bought. Whatever is
chosen here is chosen on windows before the one that judges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from patron.errors import DataError
from patron.models.base import CustomerHistory, Interactions
from patron.models.blend import Blend
from patron.models.placements import HOME, Weights
from patron.models.popularity import Popularity, PopularityConfig
from patron.models.products import top
from patron.models.ranker import Ranker
from patron.models.ranking_features import Columns
from patron.models.shortlist import Shortlist
from training import metrics
from training.bootstrap import paired

Numbers = NDArray[np.float64]
Positions = NDArray[np.int64]
Examples = tuple[list[Columns], list[NDArray[np.bool_]]]
"""For each customer the features of the candidates, and which of them were bought."""

DEPTH = 20
"""Products that are ranked for each customer; metrics look at 10 and 20 of them."""
COMPOSITES = ("ranker", "blend")
"""What is made of several sources."""
MOST_NEW_PLACES = 3
"""Of ten places; more of them would no longer be the answer that the customer's habits suggest."""
FOLDS = 2
POPULARITY_WINDOWS = (7, 14, 28, 56, 91, 182)
"""Days, of which the validation window chooses."""


@dataclass(frozen=True)
class Window:
    """Customers who bought something, in one order; sources saw nothing of what they bought here."""

    blend: Blend
    histories: list[CustomerHistory]
    bought: list[Positions]
    """Catalogue positions of what each bought in the window; -1 for what is not in the catalogue."""
    before: list[Positions]
    """The same of what each had bought before; a hit on these is a repeat."""
    only_new: bool = False
    """Products bought before are neither shown nor relevant: how well new ones are found."""
    _examples: dict[str, Examples] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def shortlists(self) -> list[Shortlist]:
        """What all sources propose to each customer."""
        available = self.blend.catalogue.available
        if not self.only_new:
            return [self.blend.shortlist(each, available) for each in self.histories]
        found = []
        for each, before in zip(self.histories, self.before, strict=True):
            mask = available.copy()
            mask[before[before >= 0]] = False
            found.append(self.blend.shortlist(each, mask))
        return found

    @cached_property
    def relevant(self) -> NDArray[np.int64]:
        """How many products each bought, those outside the catalogue included."""
        return counts(self.bought)

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """How many of them each had bought before."""
        pairs = zip(self.bought, self.before, strict=True)
        return np.array([np.isin(now, then[then >= 0]).sum() for now, then in pairs], dtype=np.int64)

    def ranked(self, blend: Blend) -> Ranked:
        """What a variant of this window's blend shows to each customer."""
        return self.shown(self.orders(blend), blend.new_places)

    def orders(self, blend: Blend) -> list[Positions]:
        """Every candidate of each customer, best first; no place is kept yet."""
        pairs = zip(self.shortlists, self.histories, strict=True)
        return [blend.order(shortlist, history) for shortlist, history in pairs]

    def shown(self, orders: Sequence[Positions], new_places: int) -> Ranked:
        """The first DEPTH of each order, places for new products kept."""
        shown = np.full((len(orders), DEPTH), -1, dtype=np.int64)
        for row, order in enumerate(orders):
            if new_places:
                order = order[self.blend.keep_places(order, self.histories[row], new_places, DEPTH)]
            shown[row, : min(len(order), DEPTH)] = order[:DEPTH]
        return Ranked(shown, within(shown, self.bought), within(shown, self.before))

    def of(self, rows: NDArray[np.int64]) -> Window:
        """Only the customers at `rows`."""
        chosen = Window(
            self.blend,
            [self.histories[row] for row in rows],
            [self.bought[row] for row in rows],
            [self.before[row] for row in rows],
            self.only_new,
        )
        chosen.__dict__["shortlists"] = [self.shortlists[row] for row in rows]
        return chosen

    def ndcg(self, ranked: Ranked) -> Numbers:
        """ndcg@10 of each customer."""
        return metrics.ndcg_at(ranked.hits, self.relevant, 10)

    def explore_recall(self, ranked: Ranked) -> Numbers:
        """recall@10 of new products, of each customer who bought any."""
        new = self.relevant - self.repeats
        return metrics.recall_at(ranked.hits & ~ranked.again, new, 10)[new > 0]

    def examples(self, weights: Weights, seed: int) -> Examples:
        """Candidates of a sample of customers, as a ranker sees them, and which were bought; made once."""
        config = self.blend.config.ranker
        recipe = str((weights, seed, config.candidates, config.max_customers))
        if recipe not in self._examples:
            blend = self.blend.variant(home=weights)
            rows = np.arange(len(self.histories))
            if len(rows) > config.max_customers:
                drawn = np.random.default_rng(seed).choice(rows, config.max_customers, replace=False)
                rows = np.sort(drawn)
            columns, hits = [], []
            for row in rows.tolist():
                kept, seen = blend.candidates(self.shortlists[row], self.histories[row], config.candidates)
                columns.append(seen)
                hits.append(np.isin(kept.positions, self.bought[row]))
            self._examples.clear()
            self._examples[recipe] = columns, hits
        return self._examples[recipe]

    def ceiling(self, weights: Weights, size: int) -> float:
        """Mean share of what was bought that is among `size` candidates: no ranker can find more."""
        shares = []
        for shortlist, bought in zip(self.shortlists, self.bought, strict=True):
            mixed = shortlist.weighted(weights).sum(axis=1)
            kept = shortlist.positions[shortlist.best(mixed, size)]
            shares.append(np.isin(bought, kept).mean())
        return float(np.mean(shares)) if shares else float("nan")


@dataclass(frozen=True)
class Ranked:
    """Full-catalogue rankings of one model on one window."""

    shown: NDArray[np.int64]
    """(customers, DEPTH) positions, -1 where the model had nothing more to say."""
    hits: NDArray[np.bool_]
    again: NDArray[np.bool_]
    """(customers, DEPTH): a product that the customer had bought before."""


@dataclass
class Settled:
    """What was chosen before the test window."""

    weights: Weights
    new_places: dict[str, int] = field(default_factory=dict)
    """Composite -> places of ten for new products."""
    validation: dict[str, float] = field(default_factory=dict)
    """Candidate -> ndcg@10."""

    @property
    def best(self) -> str:
        return max(self.validation, key=lambda kind: self.validation[kind])

    @property
    def best_source(self) -> str:
        """The single source that a composite has to beat."""
        singles = [kind for kind in self.validation if kind not in COMPOSITES]
        return max(singles, key=lambda kind: self.validation[kind])


def variant(window: Window, kind: str, settled: Settled, ranker: Ranker | None = None) -> Blend:
    """The window's blend as the candidate `kind` answers."""
    if kind not in COMPOSITES:
        return window.blend.variant(home={kind: 1.0})
    return window.blend.variant(
        home=settled.weights,
        ranker=ranker if kind == "ranker" else None,
        new_places=settled.new_places.get(kind, 0),
    )


def fit_ranker(windows: Sequence[Window], weights: Weights, *, seed: int, threads: int) -> Ranker:
    """A ranker of the candidates of all windows. Raises DataError where none was bought."""
    candidates, hits = examples(windows, weights, seed)
    return Ranker.fit(windows[0].blend.config.ranker, candidates, hits, seed=seed, threads=threads)


def examples(windows: Sequence[Window], weights: Weights, seed: int) -> Examples:
    """What a ranker learns from: features of each customer's candidates, and which of them were bought."""
    found = [window.examples(weights, seed) for window in windows]
    return [each for columns, _ in found for each in columns], [each for _, hits in found for each in hits]


def settle(windows: Sequence[Window], *, seed: int, threads: int) -> Settled:
    """Choose on the last of the windows; the ones before it teach the ranker that is chosen by.

    With a single window the ranker is cross-fitted over its customers. Raises DataError when nobody bought.
    """
    last = windows[-1]
    blend = last.blend.variant()
    blend.fit_weights(last.shortlists, last.bought, seed=seed)
    settled = Settled(blend.weights[HOME])
    ranked = {kind: last.ranked(variant(last, kind, settled)) for kind in last.blend.config.asked()}
    for kind, each in ranked.items():
        settled.validation[kind] = float(last.ndcg(each).mean())
    rivals = ranked[settled.best_source], ranked["item_item"]
    settled.new_places["blend"], settled.validation["blend"] = places(
        last, last.orders(variant(last, "blend", settled)), *rivals, seed
    )
    try:
        rankers = validated_rankers(windows, settled.weights, seed=seed, threads=threads)
    except DataError:
        return settled  # too few purchases for a ranker: the weights stand alone
    orders: list[Positions] = [np.zeros(0, dtype=np.int64)] * len(last.histories)
    for rows, ranker in rankers:
        part = last.of(rows)
        found = part.orders(variant(part, "ranker", settled, ranker))
        for row, order in zip(rows.tolist(), found, strict=True):
            orders[row] = order
    settled.new_places["ranker"], settled.validation["ranker"] = places(last, orders, *rivals, seed)
    return settled


def validated_rankers(
    windows: Sequence[Window], weights: Weights, *, seed: int, threads: int
) -> list[tuple[NDArray[np.int64], Ranker]]:
    """Customers of the last window in parts, each part with a ranker that saw nothing of it."""
    return [
        (rows, fit_ranker(others, weights, seed=seed, threads=threads))
        for rows, others in apart(windows, seed)
    ]


def apart(windows: Sequence[Window], seed: int) -> list[tuple[Positions, Sequence[Window]]]:
    """Customers of the last window in parts, and what may be learned from to judge each part.

    That is the windows before it, or where there is none the other customers of the same window.
    """
    *earlier, last = windows
    if earlier:
        return [(np.arange(len(last.histories)), earlier)]
    order = np.random.default_rng(seed).permutation(len(last.histories))
    folds = [np.sort(part) for part in np.array_split(order, FOLDS)]
    return [(fold, [last.of(np.setdiff1d(order, fold))]) for fold in folds]


def places(
    window: Window, orders: Sequence[Positions], best: Ranked, near: Ranked, seed: int
) -> tuple[int, float]:
    """The fewest places for new products with which item-item finds no more of them, and ndcg@10 then.

    None are kept where that costs so much that the best single source may be as good. orders: every
    candidate of each customer. best, near: rankings of the best source and of item-item.
    """
    plain = 0.0
    for kept in range(MOST_NEW_PLACES + 1):
        shown = window.shown(orders, kept)
        gains = window.ndcg(shown)
        if kept == 0:
            plain = float(gains.mean())
        elif paired(gains - window.ndcg(best), seed).low <= 0:
            break
        new = window.explore_recall(shown) - window.explore_recall(near)
        if not len(new) or paired(new, seed).low >= 0:
            return kept, float(gains.mean())
    return 0, plain


def popularity_window(
    config: PopularityConfig,
    interactions: Interactions,
    bought: Sequence[Positions],
    available: NDArray[np.bool_] | None = None,
) -> int:
    """Days of purchases with which popularity does best on what customers bought after `interactions`."""
    reached = {}
    for days in POPULARITY_WINDOWS:
        popular = Popularity(config.model_copy(update={"window_days": days}))
        popular.fit(interactions)
        first = top(popular.scores(CustomerHistory.empty()), DEPTH, available)
        hits = within(np.tile(first, (len(bought), 1)), bought)
        reached[days] = float(metrics.ndcg_at(hits, counts(bought), 10).mean())
    return max(reached, key=lambda days: reached[days])


def counts(lists: Sequence[Positions]) -> NDArray[np.int64]:
    return np.array([len(each) for each in lists], dtype=np.int64)


def within(shown: NDArray[np.int64], lists: Sequence[Positions]) -> NDArray[np.bool_]:
    """True where a shown position is in the customer's list."""
    sizes = counts(lists)
    listed = np.concatenate([np.zeros(0, dtype=np.int64), *lists])
    width = int(max(shown.max(initial=0), listed.max(initial=0))) + 1
    owners = np.repeat(np.arange(len(sizes)), sizes)
    keys = (owners * width + listed)[listed >= 0]
    places = np.arange(len(shown))[:, None] * width + shown
    return np.isin(places, keys) & (shown >= 0)

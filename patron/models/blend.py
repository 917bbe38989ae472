"""The recommender: candidates of every source, weighted or ranked, and explained."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from patron.errors import DataError
from patron.models import explanations
from patron.models.als import ALS
from patron.models.base import CustomerHistory, Interactions, Reason, Recommendation, Recommender
from patron.models.catalogue import Catalogue
from patron.models.content import Content
from patron.models.explanations import CONTEXT, as_history, prefixed
from patron.models.item_item import ItemItem
from patron.models.page import Request, compose
from patron.models.placements import HOME, PLACEMENTS, SESSION_WEIGHTS, Weights
from patron.models.places import with_new
from patron.models.popularity import Popularity
from patron.models.products import read_config
from patron.models.ranker import Ranker, RankerConfig
from patron.models.ranking_features import Columns, ProductNumbers, described
from patron.models.rules import Rules
from patron.models.sequence import Sequence as SequenceModel
from patron.models.shortlist import Shortlist, loudest
from patron.models.sources import STRANGERS, SourcesConfig
from patron.models.trends import newcomers, rising
from patron.models.visit import Visit
from patron.models.weights import Panel, search

Mask = NDArray[np.bool_]

MAX_REASONS = 2
SIMILAR = (("item_item", explanations.same_customers), ("content", explanations.alike))
TOGETHER = (("together", explanations.with_product),)
"""Sources of a product's neighbours, in turn, and how each is explained."""


class BlendConfig(SourcesConfig):
    candidates: int = 100
    """Best products that each source may propose."""
    normalise: Literal["max", "rank"] = "max"
    """What makes sources comparable: score over the source's best score, or offset / (offset + rank)."""
    rank_offset: float = 10.0
    """The larger, the less the first ranks stand out; only for `rank`."""
    weights: dict[str, Weights] = Field(default=PLACEMENTS)
    """Placement -> source -> weight; a placement without its own takes those of `home`."""
    session: Weights = Field(default=SESSION_WEIGHTS)
    """The same for what a visitor looked at lately."""
    ranker: RankerConfig = RankerConfig()


class Blend(Recommender):
    """Holds the catalogue, one fitted model a source and, once fitted, a ranker. Answers are deterministic.

    The ranker orders what is shown at `home` and wherever a placement has no weights of its own; without it
    the weights do. `new_places` of each ten places there are kept for products new to the customer.
    """

    Config = BlendConfig

    def __init__(self, config: BlendConfig | None = None) -> None:
        self.config = config or BlendConfig()
        self.sources = self.config.opened()
        self.weights = {name: dict(each) for name, each in (PLACEMENTS | self.config.weights).items()}
        self.ranker: Ranker | None = None
        self.new_places = 0
        self.catalogue = Catalogue.of(np.zeros(0, dtype="U1"))
        self.numbers = ProductNumbers({}, np.zeros(0, dtype=np.int64))

    @property
    def product_ids(self) -> NDArray[np.str_]:  # type: ignore[override]
        return self.catalogue.product_ids

    @property
    def popularity(self) -> Popularity:
        return cast(Popularity, self.sources["popularity"])

    def variant(
        self,
        *,
        home: Weights | None = None,
        ranker: Ranker | None = None,
        new_places: int = 0,
    ) -> Self:
        """The same fitted sources, with what is given in the place of this blend's own."""
        other = copy(self)
        other.weights = {**self.weights, HOME: home or self.weights[HOME]}
        other.ranker, other.new_places = ranker, new_places
        return other

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
        checkpoint: Path | None = None,
        say: Callable[[str], None] = lambda what: None,
    ) -> None:
        """Fit every source.

        catalogue: facts in any order, brought to that of `interactions.product_ids`; a product that is not
        among those, even without a purchase, cannot be recommended. checkpoint: a folder from which a fit
        that was cut short goes on. say: told which source, and which epoch of a neural one, is fitted.
        """
        known = catalogue or Catalogue.of(interactions.product_ids)
        self.catalogue = known.aligned(interactions.product_ids)
        self.numbers = ProductNumbers.of(interactions, self.catalogue)
        for name, source in self.sources.items():
            say(f"Fitting {name}")
            told = (
                {"checkpoint": checkpoint, "advance": lambda epoch: say(f"Fitting sequence: {epoch}")}
                if isinstance(source, SequenceModel)
                else {}
            )
            source.fit(interactions, self.catalogue, seed=seed, threads=threads, **told)
        self._share_index()

    def _share_index(self) -> None:
        """One list of product ids, and one dictionary of them, for all sources."""
        for source in self.sources.values():
            source.product_ids = self.catalogue.product_ids
            source.__dict__["index"] = self.catalogue.index

    def fit_weights(
        self,
        shortlists: Sequence[Shortlist],
        relevant: Sequence[Iterable[int]],
        *,
        seed: int = 0,
        max_customers: int = 2000,
    ) -> float:
        """Choose the weights of `home` on customers of a window after the fit; returns their ndcg@10.

        relevant: for each shortlist the positions bought in that window; customers without any are left out,
        and a sample drawn with `seed` stands for more than `max_customers`. Raises DataError if none is left.
        """
        bought = [np.unique(np.asarray(list(each), dtype=np.int64)) for each in relevant]
        chosen = [row for row, each in enumerate(bought) if len(each)]
        if not chosen:
            raise DataError("No customer bought anything in the validation window. Use an earlier cutoff.")
        if len(chosen) > max_customers:
            chosen = np.random.default_rng(seed).choice(chosen, max_customers, replace=False).tolist()
        panel = Panel.of([shortlists[row] for row in chosen], [bought[row] for row in chosen])
        best, reached = search(panel, seed)
        self.weights[HOME] = {
            name: round(float(weight), 6)
            for name, weight in zip(self.config.asked(), best, strict=True)
            if weight > 0
        }
        return reached

    def shortlist(self, history: CustomerHistory, mask: Mask | None = None, limit: int = 0) -> Shortlist:
        """What every source proposes for a customer.

        mask: products that may be shown; None: all that can be sold. limit: more than `candidates` a source.
        """
        allowed = self.catalogue.available if mask is None else mask
        return self._asked(dict.fromkeys(self.config.asked(), 1.0), {"": history}, allowed, limit)

    def candidates(
        self, shortlist: Shortlist, history: CustomerHistory, size: int
    ) -> tuple[Shortlist, Columns]:
        """At most `size` candidates of a shortlist of all sources, and what a ranker may know of them."""
        mixed = shortlist.weighted(self.weights[HOME]).sum(axis=1)
        kept = shortlist.at(shortlist.best(mixed, size))
        own = self.catalogue.index.positions(history.product_ids)
        return kept, described(kept, history, own, self.numbers, self.sources)

    def order(self, shortlist: Shortlist, history: CustomerHistory) -> NDArray[np.int64]:
        """Positions for `home`, best first, of a shortlist of all sources, before places are kept."""
        kept, scores = self._judged(shortlist, history, self.weights[HOME], self.ranker)
        return kept.positions[_best(scores)]

    def scores(self, history: CustomerHistory, placement: str = HOME) -> NDArray[np.float32]:
        """The score of every product; 0 for what no source proposed or what cannot be sold."""
        kept, scores = self.answered(history, self.mask(history, None, (), placement), placement)
        dense = np.zeros(len(self.catalogue), dtype=np.float32)
        dense[kept.positions] = scores
        return dense

    def recommend(
        self,
        history: CustomerHistory,
        limit: int,
        allowed: Mask | None = None,
        exclude: Collection[str] = (),
        placement: str = HOME,
        explain: bool = True,
        context_product_ids: Collection[str] = (),
        diversity: float = 0.0,
    ) -> list[Recommendation]:
        """The best products for a customer, best first, each once.

        allowed: mask of shape (n_products,), applied before the cut. Products that are invisible or out of
        stock, in `exclude` or in `context_product_ids` (the page or the basket) never appear. Where the
        sources have too little to say, popular products follow with score 0, except in the placement
        `buy_again`, which holds only what the customer bought before. `source` is the one that adds most.
        diversity: 0..1, how far to spread over categories; scores then no longer fall from rank to rank.
        """
        asked = Request(
            history=history,
            limit=limit,
            placement=placement,
            context=tuple(context_product_ids),
            allowed=allowed,
            exclude=exclude,
            diversity=diversity,
            explain=explain,
        )
        return compose(self, asked, Rules()).items

    def rank(
        self, history: CustomerHistory, product_ids: Sequence[str], explain: bool = False
    ) -> list[Recommendation]:
        """The same products, each once, best first for this customer; unknown ones come last with score 0."""
        positions = np.unique(self.catalogue.index.positions(product_ids))
        mask = np.zeros(len(self.catalogue), dtype=np.bool_)
        mask[positions[positions >= 0]] = True
        kept, scores = self.answered(history, mask, limit=len(positions))
        rows = _best(scores)
        ranked = self.told(kept.at(rows), scores[rows], self.weights[HOME], {"": history}, explain)
        beside = self.popular_beside(kept.positions[rows], mask, len(positions))
        ranked += [self.popular_item(each, 0.0, explain) for each in beside.tolist()]
        unknown = dict.fromkeys(each for each in product_ids if self.catalogue.position(each) is None)
        return ranked + [Recommendation(each, 0.0, "unknown") for each in unknown]

    def similar(
        self,
        product_id: str,
        kind: Literal["similar", "bought_together"],
        limit: int,
        allowed: Mask | None = None,
        exclude: Collection[str] = (),
    ) -> list[Recommendation]:
        """Neighbours of a product; the popular of its category, then of the shop, follow with score 0.

        Similar are first those that share customers, then those that share facts, as new products do.
        Scores are similarities in 0..1. An unknown product is answered with popular ones.
        """
        mask = self.mask(CustomerHistory.empty(), allowed, [*exclude, product_id])
        found: list[Recommendation] = []
        for name, tell in SIMILAR if kind == "similar" else TOGETHER:
            near, values = cast(ItemItem | Content, self.sources[name]).neighbours_of(product_id)
            kept = np.flatnonzero(mask[near])[: max(limit - len(found), 0)]
            mask[near[kept]] = False
            found += [
                Recommendation(str(self.product_ids[near[each]]), float(values[each]), name, [reason])
                for each in kept
                for reason in [tell(self.catalogue, product_id)]
            ]
        rest = self.popular_beside(np.zeros(0, dtype=np.int64), mask, limit - len(found), near=product_id)
        return found + [self.popular_item(position, 0.0, explain=True) for position in rest.tolist()]

    def popular(
        self, limit: int, allowed: Mask | None = None, exclude: Collection[str] = ()
    ) -> list[Recommendation]:
        """Most popular products of the window; the score is the number of buyers."""
        mask = self.mask(CustomerHistory.empty(), allowed, exclude)
        chosen = self.popular_beside(np.zeros(0, dtype=np.int64), mask, limit)
        return [self.popular_item(each, float(self.popularity.buyers[each]), explain=True) for each in chosen]

    def mask(
        self,
        history: CustomerHistory,
        allowed: Mask | None,
        hidden: Collection[str],
        placement: str = HOME,
    ) -> Mask:
        """What may be shown, shape (n_products,): what can be sold, is allowed and is not to be hidden."""
        mask = self.catalogue.available.copy() if allowed is None else self.catalogue.available & allowed
        if placement == "buy_again":
            own = np.zeros_like(mask)
            bought = self.catalogue.index.positions(history.product_ids)
            own[bought[bought >= 0]] = True
            mask &= own
        positions = self.catalogue.index.positions(list(hidden))
        mask[positions[positions >= 0]] = False
        return mask

    def answered(
        self,
        history: CustomerHistory,
        mask: Mask,
        placement: str = HOME,
        context: Collection[str] = (),
        limit: int = 0,
    ) -> tuple[Shortlist, NDArray[np.float32]]:
        """Candidates and their scores, as the placement is answered."""
        weights = self.weights_of(placement, context)
        ranker = self.ranker if self.is_home(placement, context) else None
        if history.region and not len(history) and self.is_home(placement, context):
            weights, ranker = {STRANGERS: 1.0}, None
        asked = weights if ranker is None else dict.fromkeys(self.config.asked(), 1.0)
        given = {"": history, CONTEXT: as_history(context)}
        return self._judged(self._asked(asked, given, mask, limit), history, weights, ranker, limit)

    def _asked(
        self, weights: Weights, given: Mapping[str, CustomerHistory], mask: Mask, limit: int
    ) -> Shortlist:
        """The proposals of the sources that have a weight. given: name or prefix -> what it is asked."""
        asked = {
            name: self.sources[source].asked(given.get(name, given[prefix]))
            for name, weight in weights.items()
            for prefix, source in [prefixed(name)]
            if weight > 0 and source in self.sources and prefix in given
        }
        offset = self.config.rank_offset if self.config.normalise == "rank" else None
        return Shortlist.of(asked, mask, max(self.config.candidates, limit), offset)

    def _judged(
        self,
        shortlist: Shortlist,
        history: CustomerHistory,
        weights: Weights,
        ranker: Ranker | None,
        limit: int = 0,
    ) -> tuple[Shortlist, NDArray[np.float32]]:
        if ranker is None or not len(shortlist):
            return shortlist, shortlist.weighted(weights).sum(axis=1)
        kept, columns = self.candidates(shortlist, history, max(ranker.config.candidates, limit))
        return kept, ranker.scores(columns)

    def weights_of(self, placement: str, context: Collection[str]) -> Weights:
        return self.weights[HOME] if self.is_home(placement, context) else self.weights[placement]

    def is_home(self, placement: str, context: Collection[str]) -> bool:
        """Whether the placement has no weights of its own, or they ask about a page that was not named."""
        if placement == HOME or placement not in self.weights:
            return True
        return not context and any(name.startswith(CONTEXT) for name in self.weights[placement])

    def keep_places(
        self, positions: NDArray[np.int64], history: CustomerHistory, new_places: int, limit: int
    ) -> NDArray[np.int64]:
        """Indices of the positions to show, `new_places` of each ten being new to the customer."""
        if new_places == 0:
            return np.arange(min(len(positions), max(limit, 0)))
        own = self.catalogue.index.positions(history.product_ids)
        return with_new(~np.isin(positions, own), new_places, max(limit, 0))

    def popular_beside(
        self, chosen: NDArray[np.int64], mask: Mask, limit: int, near: str | None = None
    ) -> NDArray[np.int64]:
        """The most popular allowed products that are not chosen yet; those of `near`'s category first."""
        if limit <= 0:
            return chosen[:0]
        free = mask.copy()
        free[chosen] = False
        order = self.popularity.order[free[self.popularity.order]]
        position = None if near is None else self.catalogue.position(near)
        if position is not None and self.catalogue.categories[position]:
            same = self.catalogue.categories[order] == self.catalogue.categories[position]
            order = np.concatenate([order[same], order[~same]])
        return order[:limit]

    def popular_item(self, position: int, score: float, explain: bool) -> Recommendation:
        reasons = [explanations.popular(self.popularity, position)] if explain else []
        return Recommendation(str(self.product_ids[position]), score, "popularity", reasons)

    def told(
        self,
        chosen: Shortlist,
        scores: NDArray[np.float32],
        weights: Weights,
        given: Mapping[str, CustomerHistory],
        explain: bool,
        visit: Visit | None = None,
    ) -> list[Recommendation]:
        """Candidates, in their order, with the source that adds most to each and, if asked, the reasons."""
        shares = chosen.weighted(weights)
        unweighted = shares.sum(axis=1, keepdims=True) <= 0  # the ranker chose what no weight speaks for
        names = loudest(np.where(unweighted, chosen.values, shares), chosen.names, MAX_REASONS)
        basket = visit.basket if visit else ()
        told = explanations.Explainer(self.catalogue, self.sources, given, basket)
        reasons = told.reasons(chosen.positions, names) if explain else [[] for _ in names]
        return [
            Recommendation(str(self.product_ids[position]), float(score), prefixed(loud[0])[1], why)
            for position, score, loud, why in zip(chosen.positions, scores, names, reasons, strict=True)
        ]

    def about_page(self, placement: str) -> Weights:
        """Of a placement's weights those of the page or basket, which need to know nobody."""
        return {name: each for name, each in self.weights[placement].items() if name.startswith(CONTEXT)}

    def with_catalogue(self, catalogue: Catalogue) -> Self:
        """The same models over other facts of the same products."""
        other = copy(self)
        other.catalogue = catalogue
        return other

    def asked_about(
        self, weights: Weights, given: Mapping[str, CustomerHistory], mask: Mask, limit: int
    ) -> tuple[Shortlist, NDArray[np.float32]]:
        """Candidates for what a visitor does now, and their weighted scores."""
        shortlist = self._asked(weights, given, mask, limit)
        return shortlist, shortlist.weighted(weights).sum(axis=1)

    def vectors(self, positions: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """The products' factors at length 1, shape (m, factors); None without such a source."""
        if not isinstance(source := self.sources.get("als"), ALS):
            return None
        found = source.factors_of(positions)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)

    @cached_property
    def new(self) -> Mask:
        """Products that never sold, or only since a few weeks ago."""
        return newcomers(self.numbers)

    @cached_property
    def trending(self) -> NDArray[np.int64]:
        """Positions of what sells faster than usual this week, the most so first."""
        return rising(self.numbers)

    def why_trending(self, position: int) -> Reason:
        return explanations.trending(int(self.numbers.columns["buyers_7d"][position]))

    def save(self, folder: Path) -> None:
        self.catalogue.save(folder)
        self.numbers.save(folder / "numbers.npz")
        for name, source in self.sources.items():
            (folder / name).mkdir()
            source.save(folder / name)
        if self.ranker is not None:
            self.ranker.save(folder)
        (folder / "config.json").write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        state = {"weights": self.weights, "new_places": self.new_places}
        (folder / "blend.json").write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        blend = cls(read_config(folder, BlendConfig))
        blend.catalogue = Catalogue.load(folder)
        blend.numbers = ProductNumbers.load(folder / "numbers.npz")
        blend.sources = {name: type(each).load(folder / name) for name, each in blend.sources.items()}
        if (folder / "ranker.txt").is_file():
            blend.ranker = Ranker.load(folder)
        state = json.loads((folder / "blend.json").read_text(encoding="utf-8"))
        blend.weights, blend.new_places = state["weights"], state["new_places"]
        blend._share_index()
        return blend


def _best(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows with a score above 0, best first; ties stand in product order."""
    order = np.argsort(-scores, kind="stable")
    return order[scores[order] > 0]

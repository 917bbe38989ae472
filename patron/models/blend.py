"""The recommender: candidates of every source, normalised, weighted and explained."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from patron.errors import DataError
from patron.models import explanations
from patron.models.als import ALS, ALSConfig
from patron.models.base import Config, CustomerHistory, Interactions, Recommendation, Recommender
from patron.models.buy_again import BuyAgain, BuyAgainConfig
from patron.models.candidates import Candidates, Mixture, proposed
from patron.models.catalogue import Catalogue
from patron.models.diversity import spread
from patron.models.explanations import CONTEXT, as_history
from patron.models.item_item import ItemItem, ItemItemConfig
from patron.models.popularity import Popularity, PopularityConfig
from patron.models.products import read_config, top
from patron.models.weights import Panel, search

Weights = dict[str, float]
Mask = NDArray[np.bool_]

Source = Popularity | ItemItem | ALS | BuyAgain

MAX_REASONS = 2
POOL = 5
"""Candidates for each place of an answer that is spread over categories."""

PLACEMENTS: dict[str, Weights] = {
    "home": {"buy_again": 0.6, "als": 0.15, "popularity": 0.1, "item_item": 0.1, "together": 0.05},
    "product": {"context_item_item": 0.5, "context_together": 0.3, "als": 0.1, "popularity": 0.1},
    "cart": {"context_together": 0.6, "context_item_item": 0.2, "als": 0.1, "popularity": 0.1},
    "buy_again": {"buy_again": 1.0},
}
"""Weights where a config names none. `context_together` is `together` asked about the page or the basket."""


class BlendConfig(Config):
    popularity: PopularityConfig = PopularityConfig()
    item_item: ItemItemConfig = ItemItemConfig()
    als: ALSConfig = ALSConfig()
    buy_again: BuyAgainConfig = BuyAgainConfig()
    together: ItemItemConfig = ItemItemConfig(basket="order")
    candidates: int = 200
    """Best products that each source may propose."""
    normalise: Literal["max", "rank"] = "max"
    """What makes sources comparable: score over the source's best score, or offset / (offset + rank)."""
    rank_offset: float = 10.0
    """The larger, the less the first ranks stand out; only for `rank`."""
    weights: dict[str, Weights] = Field(default=PLACEMENTS)
    """Placement -> source -> weight; a placement without its own takes those of `home`."""


class Blend(Recommender):
    """Holds the catalogue and one fitted model a source. Answers are deterministic."""

    Config = BlendConfig

    def __init__(self, config: BlendConfig | None = None) -> None:
        self.config = config or BlendConfig()
        self.popularity = Popularity(self.config.popularity)
        self.item_item = ItemItem(self.config.item_item)
        self.als = ALS(self.config.als)
        self.buy_again = BuyAgain(self.config.buy_again)
        self.together = ItemItem(self.config.together)
        self.weights = {name: dict(each) for name, each in (PLACEMENTS | self.config.weights).items()}
        self.catalogue = Catalogue.of(np.zeros(0, dtype="U1"))

    @property
    def product_ids(self) -> NDArray[np.str_]:  # type: ignore[override]
        return self.catalogue.product_ids

    @property
    def sources(self) -> dict[str, Source]:
        return {
            "popularity": self.popularity,
            "item_item": self.item_item,
            "als": self.als,
            "buy_again": self.buy_again,
            "together": self.together,
        }

    @property
    def source_names(self) -> list[str]:
        return list(self.sources)

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Fit every source.

        catalogue: facts in any order, brought to that of `interactions.product_ids`; a product that is not
        among those, even without a purchase, cannot be recommended.
        """
        known = catalogue or Catalogue.of(interactions.product_ids)
        self.catalogue = known.aligned(interactions.product_ids)
        for source in self.sources.values():
            source.fit(interactions, self.catalogue, seed=seed, threads=threads)
        self._share_index()

    def _share_index(self) -> None:
        """One dictionary of product ids for all sources."""
        for source in self.sources.values():
            source.__dict__["index"] = self.catalogue.index

    def fit_weights(
        self,
        histories: Sequence[CustomerHistory],
        relevant: Sequence[Iterable[int]],
        *,
        seed: int = 0,
        placement: str = "home",
        max_customers: int = 2000,
    ) -> float:
        """Choose the weights of a placement on customers of a window after the fit; returns their ndcg@10.

        relevant: for each history the positions bought in that window; customers without any are left out,
        and a sample drawn with `seed` stands for more than `max_customers`. Raises DataError if none is left.
        """
        bought = [np.unique(np.asarray(list(each), dtype=np.int64)) for each in relevant]
        chosen = [row for row, each in enumerate(bought) if len(each)]
        if not chosen:
            raise DataError("No customer bought anything in the validation window. Use an earlier cutoff.")
        if len(chosen) > max_customers:
            chosen = np.random.default_rng(seed).choice(chosen, max_customers, replace=False).tolist()
        mask = self.catalogue.available
        found = [[self._proposed(name, histories[row], mask) for name in self.source_names] for row in chosen]
        panel = Panel.of(found, [bought[row] for row in chosen])
        best, reached = search(panel, seed)
        self.weights[placement] = {
            name: round(float(weight), 6)
            for name, weight in zip(self.sources, best, strict=True)
            if weight > 0
        }
        return reached

    def scores(self, history: CustomerHistory, placement: str = "home") -> NDArray[np.float32]:
        """The blended score of every product; 0 for what no source proposed or what cannot be sold."""
        mask = self._mask(history, None, (), placement, ())
        return self._mixture(history, mask, placement).scores()

    def recommend(
        self,
        history: CustomerHistory,
        limit: int,
        allowed: Mask | None = None,
        exclude: Collection[str] = (),
        placement: str = "home",
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
        mask = self._mask(history, allowed, exclude, placement, context_product_ids)
        mixture = self._mixture(history, mask, placement, context_product_ids, limit)
        total = mixture.scores()
        pool = limit if diversity <= 0 else limit * POOL
        chosen = top(total, pool)
        if placement != "buy_again":
            chosen = np.concatenate([chosen, self._popular_beside(chosen, mask, pool - len(chosen))])
        chosen = chosen[spread(total[chosen], self.catalogue.categories[chosen], limit, diversity)]
        return self._answers(chosen, mixture, total, history, context_product_ids, explain)

    def rank(
        self, history: CustomerHistory, product_ids: Sequence[str], explain: bool = False
    ) -> list[Recommendation]:
        """The same products, each once, best first for this customer; unknown ones come last with score 0."""
        positions = np.unique(self.catalogue.index.positions(product_ids))
        mask = np.zeros(len(self.catalogue), dtype=np.bool_)
        mask[positions[positions >= 0]] = True
        mixture = self._mixture(history, mask, limit=len(positions))
        total = mixture.scores()
        chosen = top(total, len(positions))
        chosen = np.concatenate([chosen, self._popular_beside(chosen, mask, len(positions))])
        ranked = self._answers(chosen, mixture, total, history, (), explain)
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

        Scores are similarities in 0..1. An unknown product is answered with popular ones.
        """
        alike = kind == "similar"
        model = self.item_item if alike else self.together
        mask = self._mask(CustomerHistory.empty(), allowed, exclude, "product", (product_id,))
        positions, values = model.neighbours_of(product_id)
        kept = np.flatnonzero(mask[positions])[: max(limit, 0)]
        tell = explanations.same_customers if alike else explanations.with_product
        name, reasons = "item_item" if alike else "together", [tell(self.catalogue, product_id)]
        found = [
            Recommendation(str(self.product_ids[positions[each]]), float(values[each]), name, list(reasons))
            for each in kept
        ]
        taken = positions[kept].astype(np.int64)
        rest = self._popular_beside(taken, mask, limit - len(kept), near=product_id)
        return found + [self._popular(position, 0.0, explain=True) for position in rest]

    def popular(
        self, limit: int, allowed: Mask | None = None, exclude: Collection[str] = ()
    ) -> list[Recommendation]:
        """Most popular products of the window; the score is the number of buyers."""
        mask = self._mask(CustomerHistory.empty(), allowed, exclude, "home", ())
        chosen = self._popular_beside(np.zeros(0, dtype=np.int64), mask, limit)
        return [self._popular(each, float(self.popularity.buyers[each]), explain=True) for each in chosen]

    def _mask(
        self,
        history: CustomerHistory,
        allowed: Mask | None,
        exclude: Collection[str],
        placement: str,
        context: Collection[str],
    ) -> Mask:
        mask = self.catalogue.available.copy() if allowed is None else self.catalogue.available & allowed
        if placement == "buy_again":
            own = np.zeros_like(mask)
            bought = self.catalogue.index.positions(history.product_ids)
            own[bought[bought >= 0]] = True
            mask &= own
        hidden = self.catalogue.index.positions([*exclude, *context])
        mask[hidden[hidden >= 0]] = False
        return mask

    def _mixture(
        self,
        history: CustomerHistory,
        mask: Mask,
        placement: str = "home",
        context: Collection[str] = (),
        limit: int = 0,
    ) -> Mixture:
        """What each source that has a weight adds to which products."""
        parts = {}
        for name, weight in self._weights(placement, context).items():
            asked = as_history(context) if name.startswith(CONTEXT) else history
            if weight > 0 and (len(asked) or name == "popularity"):
                positions, values = self._proposed(name.removeprefix(CONTEXT), asked, mask, limit)
                parts[name] = (positions, values * np.float32(weight))
        return Mixture(parts, len(self.catalogue))

    def _weights(self, placement: str, context: Collection[str]) -> Weights:
        """Those of the placement; of `home` where it has none, or asks about a page that was not named."""
        weights = self.weights.get(placement, self.weights["home"])
        lost = not context and any(name.startswith(CONTEXT) for name in weights)
        return self.weights["home"] if lost else weights

    def _proposed(self, name: str, history: CustomerHistory, mask: Mask, limit: int = 0) -> Candidates:
        offset = self.config.rank_offset if self.config.normalise == "rank" else None
        return proposed(self.sources[name], history, mask, max(self.config.candidates, limit), offset)

    def _popular_beside(
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

    def _popular(self, position: int, score: float, explain: bool) -> Recommendation:
        reasons = [explanations.popular(self.popularity, position)] if explain else []
        return Recommendation(str(self.product_ids[position]), score, "popularity", reasons)

    def _answers(
        self,
        chosen: NDArray[np.int64],
        mixture: Mixture,
        total: NDArray[np.float32],
        history: CustomerHistory,
        context: Collection[str],
        explain: bool,
    ) -> list[Recommendation]:
        loud = [names or ["popularity"] for names in mixture.loudest(chosen, MAX_REASONS)]
        told = explanations.Explainer(self.catalogue, self.sources, history, context)
        reasons = told.reasons(chosen, loud) if explain else [[] for _ in loud]
        return [
            Recommendation(
                str(self.product_ids[position]), float(total[position]), names[0].removeprefix(CONTEXT), why
            )
            for position, names, why in zip(chosen, loud, reasons, strict=True)
        ]

    def save(self, folder: Path) -> None:
        self.catalogue.save(folder)
        for name, source in self.sources.items():
            (folder / name).mkdir()
            source.save(folder / name)
        (folder / "config.json").write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (folder / "weights.json").write_text(json.dumps(self.weights, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        blend = cls(read_config(folder, BlendConfig))
        blend.catalogue = Catalogue.load(folder)
        blend.popularity = Popularity.load(folder / "popularity")
        blend.item_item = ItemItem.load(folder / "item_item")
        blend.als = ALS.load(folder / "als")
        blend.buy_again = BuyAgain.load(folder / "buy_again")
        blend.together = ItemItem.load(folder / "together")
        blend.weights = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
        blend._share_index()
        return blend

"""Products alike by what is said of them: category, brand and the words of the title.

Needs no purchase of a product to recommend it, so that new products are found by those who buy their like.
Weights of words: Salton & Buckley 1988 (term frequency 1, inverse document frequency, unit length).
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from patron.models.asked import Asked, Few
from patron.models.base import Config, CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from patron.models.kinds import Alike, Kinds
from patron.models.products import ProductIndex, read_arrays, read_config, top, write_arrays

WORD = re.compile(r"[^\W_]+")
MIN_PRODUCTS = 2
"""A word of fewer titles than this likens nothing to anything."""


class ContentConfig(Config):
    category_weight: float = 1.0
    """Weight of sharing the category."""
    brand_weight: float = 1.0
    """Weight of sharing the brand."""
    title_weight: float = 1.0
    """Weight of sharing words, and pairs of neighbouring words, of the title."""
    half_life_days: float = 60.0
    """A product last bought this long ago counts half in a customer's profile; 0: all count alike."""
    max_vocabulary: int = 50_000
    """Words and pairs of words kept, the most frequent ones. The artifact grows with it."""


class Content(Recommender):
    """Cosine between a product's facts and those of what the customer bought; 0 where nothing is known."""

    Config = ContentConfig

    def __init__(self, config: ContentConfig | None = None) -> None:
        self.config = config or ContentConfig()
        self.product_ids: NDArray[np.str_] = np.zeros(0, dtype="U1")
        self.facts = sparse.csr_matrix((0, 0), dtype=np.float32)

    @cached_property
    def index(self) -> ProductIndex:
        return ProductIndex(self.product_ids)

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        """Turn the catalogue into vectors of unit length. Purchases, `seed` and `threads` are not needed."""
        self.product_ids = interactions.product_ids
        for cached in ("index", "_kinds"):
            self.__dict__.pop(cached, None)
        self.facts = self._vectors(catalogue or Catalogue.of(self.product_ids))

    def _vectors(self, catalogue: Catalogue) -> sparse.csr_matrix:
        """Product x fact, rows of length 1 (0 where nothing is known)."""
        parts = [
            (self.config.category_weight, names(catalogue.categories)),
            (self.config.brand_weight, names(catalogue.brands)),
            (self.config.title_weight, words(catalogue.titles, self.config.max_vocabulary)),
        ]
        # The root, so that a weight multiplies the part's share of a cosine.
        return unit_rows(sparse.hstack([np.sqrt(weight) * part for weight, part in parts], format="csr"))

    def scores(self, history: CustomerHistory) -> NDArray[np.float32]:
        """Cosine between the customer's profile and each product, 0..1."""
        positions, weights = self._bought(history)
        rows = self.facts[positions]
        profile = rows.T @ weights
        length = np.sqrt(profile @ profile)
        if length == 0:
            return np.zeros(len(self.product_ids), dtype=np.float32)
        return np.asarray(self.facts @ (profile / length), dtype=np.float32)

    def asked(self, history: CustomerHistory) -> Asked:
        kinds = self._kinds
        positions, weights = self._bought(history)
        profile = kinds.profile(positions, weights)
        length = np.sqrt(profile @ profile)
        return Alike(kinds, profile / length) if length else Few(positions[:0], weights[:0])

    @cached_property
    def _kinds(self) -> Kinds:
        return Kinds.of(self.facts)

    def _bought(self, history: CustomerHistory) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positions of the known products of the history (as they stand in it), and what each one counts."""
        positions = self.index.positions(history.product_ids)
        known = positions >= 0
        weights = ((1 + history.log_times) * history.decayed(self.config.half_life_days))[known]
        return positions[known], weights.astype(np.float32)

    def strongest_each(self, history: CustomerHistory, positions: NDArray[np.int64]) -> list[str | None]:
        """For each position the product of the history that is most alike, weighted as in the score."""
        bought, weights = self._bought(history)
        if len(bought) == 0:
            return [None] * len(positions)
        shared = self._kinds.shared(bought, positions).T * weights
        best = shared.argmax(axis=1)
        found = self.product_ids[bought[best]].tolist()
        likeness = shared[np.arange(len(best)), best].tolist()
        return [name if value > 0 else None for name, value in zip(found, likeness, strict=True)]

    def strongest(self, history: CustomerHistory, position: int) -> str | None:
        """`strongest_each` of one position."""
        return self.strongest_each(history, np.asarray([position]))[0]

    def similar(self, product_id: str, limit: int) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
        """The products most alike, best first, and their cosines; empty for an unknown product."""
        positions, values = self.neighbours_of(product_id, limit)
        return self.product_ids[positions], values

    def neighbours_of(
        self, product_id: str, limit: int = 200
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positions of the products most alike, best first, and their cosines."""
        position = self.index.position(product_id)
        if position is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        alike = self.facts @ self.facts[position].toarray().ravel()
        alike[position] = 0
        found = top(alike, limit)
        return found, alike[found]

    def save(self, folder: Path) -> None:
        write_arrays(
            folder,
            self.config,
            product_ids=self.product_ids,
            starts=self.facts.indptr,
            columns=self.facts.indices,
            values=self.facts.data,
            width=np.asarray(self.facts.shape[1]),
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(read_config(folder, ContentConfig))
        stored = read_arrays(folder)
        model.product_ids = stored["product_ids"]
        model.facts = sparse.csr_matrix(
            (stored["values"], stored["columns"], stored["starts"]),
            shape=(len(model.product_ids), int(stored["width"])),
        )
        return model


def names(values: NDArray[np.str_]) -> sparse.csr_matrix:
    """Product x name, 1 where the product has it; "" is no name."""
    known = np.flatnonzero(values != "")
    distinct, code = np.unique(values[known], return_inverse=True)
    ones = np.ones(len(known), dtype=np.float32)
    return sparse.csr_matrix((ones, (known, code)), shape=(len(values), len(distinct)))


def words(titles: NDArray[np.str_], max_vocabulary: int) -> sparse.csr_matrix:
    """Product x word (or pair of neighbouring words), rows of unit length, rare words weighing more."""
    texts = [terms(title) for title in titles.tolist()]
    titles_of = Counter(term for each in texts for term in each)
    shared = sorted((-count, term) for term, count in titles_of.items() if count >= MIN_PRODUCTS)
    shared = shared[:max_vocabulary]
    columns = {term: column for column, (_, term) in enumerate(shared)}
    rarity = np.asarray([1 + np.log(len(texts) / -count) for count, _ in shared], dtype=np.float32)
    kept = [sorted(columns[term] for term in each if term in columns) for each in texts]
    starts = np.concatenate([[0], np.cumsum([len(each) for each in kept])]).astype(np.int64)
    found = np.asarray([column for each in kept for column in each], dtype=np.int64)
    return unit_rows(sparse.csr_matrix((rarity[found], found, starts), shape=(len(texts), len(shared))))


def terms(title: str) -> set[str]:
    """The words of a title in lower case, and its pairs of neighbouring words."""
    found = WORD.findall(title.lower())
    return {*found, *(f"{left} {right}" for left, right in pairwise(found))}


def unit_rows(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """Every row divided by its length; empty rows stay empty."""
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return sparse.csr_matrix(sparse.diags(scale) @ rows, dtype=np.float32)

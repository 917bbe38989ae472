"""The recommender that Patron ships, made by the code that `patron train recommender` makes it with.

Its sources are fitted before each window it learns from and before the test. Everything else is chosen on the
windows it learns from: popularity's days, weights, the ranker, places for new products, and which of them
answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from patron.models.base import CustomerHistory, Interactions
from patron.models.blend import Blend, BlendConfig
from patron.models.catalogue import Catalogue
from patron.models.ranker import Ranker
from recommending import stored
from recommending.ours import SHIPPED, Candidate, histories, interactions
from training.ranking import COMPOSITES, Settled, Window, fit_ranker, popularity_window, settle, variant

PART = 1000
"""Customers whose candidates are held at once when it answers."""

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Panel:
    """What was known before a window, and what its customers then bought."""

    lines: Interactions
    catalogue: Catalogue
    histories: list[CustomerHistory]
    before: list[Positions]
    bought: list[Positions]
    again: list[NDArray[np.bool_]]

    @classmethod
    def read(cls, folder: Path, name: str) -> Panel:
        found = stored.load(folder / "fit.npz")
        lines = interactions(found)
        asked = histories(stored.past(folder, name), lines.product_ids, lines.as_of, "price" in found)
        known, before = zip(*asked, strict=True)
        bought, again = stored.answers(folder, name)
        return cls(lines, Catalogue.load(folder), list(known), list(before), bought, again)

    def of(self, rows: Positions) -> Panel:
        """Only the customers at `rows`."""
        return Panel(
            self.lines,
            self.catalogue,
            [self.histories[row] for row in rows],
            [self.before[row] for row in rows],
            [self.bought[row] for row in rows],
            [self.again[row] for row in rows],
        )

    def drawn(self, most: int, seed: int) -> Panel:
        """At most so many of its customers."""
        return self.of(np.sort(np.random.default_rng(seed).permutation(len(self.bought))[:most]))

    def window(self, blend: Blend, reading: str) -> Window:
        """Under a reading: with new products only, the rest does not count, nor who bought nothing new."""
        if reading == "repeats":
            return Window(blend, self.histories, self.bought, self.before)
        some = self.of(np.flatnonzero([not each.all() for each in self.again]))
        new = [each[~seen] for each, seen in zip(some.bought, some.again, strict=True)]
        return Window(blend, some.histories, new, some.before, only_new=True)


@dataclass(frozen=True)
class Learned:
    settled: Settled
    ranker: Ranker | None

    def answer(self, window: Window) -> tuple[Positions, Positions]:
        """(products shown to each customer, candidates that they are of), -1 for an empty place."""
        size = window.blend.config.ranker.candidates
        pool = np.full((len(window.histories), size), -1, dtype=np.int64)
        for row, shortlist in enumerate(window.shortlists):
            kept = shortlist.best(shortlist.weighted(self.settled.weights).sum(axis=1), size)
            pool[row, : len(kept)] = shortlist.positions[kept]
        blend = variant(window, self.settled.best, self.settled, self.ranker)
        return window.ranked(blend).shown, pool

    @property
    def facts(self) -> dict[str, Any]:
        best = self.settled.best
        return {
            "kind": best if best in COMPOSITES else "source",
            "best_source": self.settled.best_source,
            "new_places": self.settled.new_places.get(best, 0),
            "validation": self.settled.validation,
            "weights": self.settled.weights,
        }


class Shipped(Candidate):
    """Learns each reading apart, from the same fitted sources.

    learning: panel -> the folder of its fold, the one that chooses last.
    """

    def __init__(self, learning: dict[str, str], readings: list[str], minutes: float, **options: Any) -> None:
        super().__init__(SHIPPED, minutes=minutes, **options)
        self.learning, self.readings = learning, readings
        self.config = cast(BlendConfig, self.model.config)
        if "sequence" in self.config.sources:
            self.change("sequence", time_budget_seconds=60 * minutes)

    def change(self, source: str, **fields: Any) -> None:
        changed = getattr(self.config, source).model_copy(update=fields)
        self.config = self.config.model_copy(update={source: changed})

    def fit(self, lines: dict[str, NDArray[Any]], folder: Path) -> None:
        self.as_of, self.timed = int(lines["as_of"]), "price" in lines
        most = 2 * self.config.ranker.max_customers  # each half of them teaches the ranker of the other
        panels = [Panel.read(Path(each), name).drawn(most, self.seed) for name, each in self.learning.items()]
        days = popularity_window(self.config.popularity, panels[-1].lines, panels[-1].bought)
        self.change("popularity", window_days=days)
        blends = [self.fitted(each.lines, each.catalogue) for each in panels]
        self.model = self.fitted(interactions(lines), Catalogue.load(folder))
        self.learned = {
            name: self.learn([each.window(blend, name) for each, blend in zip(panels, blends, strict=True)])
            for name in self.readings
        }
        self.facts = {
            "popularity_window_days": days,
            "readings": {name: each.facts for name, each in self.learned.items()},
        }

    def fitted(self, lines: Interactions, catalogue: Catalogue) -> Blend:
        blend = Blend(self.config)
        blend.fit(lines, catalogue, seed=self.seed, threads=self.threads)
        return blend

    def learn(self, windows: list[Window]) -> Learned:
        settled = settle(windows, seed=self.seed, threads=self.threads)
        if settled.best != "ranker":
            return Learned(settled, None)
        ranker = fit_ranker(windows, settled.weights, seed=self.seed, threads=self.threads)
        return Learned(settled, ranker)

    def answers(self, past: stored.Past, readings: list[str], depth: int) -> dict[str, Positions]:
        """Rankings by reading, and by `reading-candidates` what they were chosen from."""
        parts: dict[str, list[Positions]] = {}
        for part in chunks(histories(past, self.model.product_ids, self.as_of, self.timed)):
            for name in readings:
                shown, pool = self.learned[name].answer(asked(self.model, part, name))
                parts.setdefault(name, []).append(shown[:, :depth])
                parts.setdefault(f"{name}-candidates", []).append(pool)
        return {name: np.concatenate(each) for name, each in parts.items()}


def asked(blend: Blend, part: list[tuple[CustomerHistory, Positions]], reading: str) -> Window:
    """Customers of whom nobody says what they bought."""
    nothing = [np.zeros(0, dtype=np.int64)] * len(part)
    known, before = [one for one, _ in part], [own for _, own in part]
    return Window(blend, known, nothing, before, only_new=reading == "new")


def chunks(every: Iterator[Any]) -> Iterator[list[Any]]:
    while part := list(islice(every, PART)):
        yield part

"""Patron's candidates, each with the config that it ships with and what a benchmark's settings override."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.errors import PatronError
from patron.models.base import DAY, CustomerHistory, Interactions, Recommender, configured
from patron.models.catalogue import Catalogue
from patron.models.products import top
from patron.settings import PROJECT
from recommending import stored

CONFIGS = PROJECT / "configs" / "models"
SHIPPED = "recommender"


def candidates() -> tuple[list[str], dict[str, str]]:
    """(names of single candidates in configs/models, why others cannot be opened)."""
    names, closed = [], {}
    for path in sorted(CONFIGS.glob("*.toml")):
        if path.stem == SHIPPED:
            continue
        try:
            found, _ = configured(path)
        except PatronError as error:
            closed[path.stem] = str(error)
            continue
        if issubclass(found, Recommender):
            names.append(path.stem)
    return names, closed


class Candidate:
    """A recommender of Patron's as a contender."""

    def __init__(
        self, name: str, seed: int, threads: int, minutes: float, overrides: dict[str, Any] | None = None
    ) -> None:
        path = CONFIGS / f"{name}.toml"
        kind, config = configured(path, **(overrides or {}))
        if "time_budget_seconds" in type(config).model_fields:
            kind, config = configured(path, **{"time_budget_seconds": 60 * minutes, **(overrides or {})})
        self.facts = {"settings": config.model_dump(mode="json")}
        self.model: Any = partial(kind, config)()  # type: ignore[call-arg]
        self.seed, self.threads = seed, threads

    def fit(self, lines: dict[str, NDArray[Any]], folder: Path) -> None:
        self.as_of, self.timed = int(lines["as_of"]), "price" in lines
        self.model.fit(interactions(lines), Catalogue.load(folder), seed=self.seed, threads=self.threads)

    def answers(self, past: stored.Past, readings: list[str], depth: int) -> dict[str, NDArray[np.int64]]:
        shown = {name: np.full((past.customers, depth), -1, dtype=np.int64) for name in readings}
        for row, (one, own) in enumerate(histories(past, self.model.product_ids, self.as_of, self.timed)):
            scores = self.model.scores(one)
            for name in readings:
                if name == "new":
                    scores = scores.copy()
                    scores[own] = 0
                found = top(scores, depth)
                shown[name][row, : len(found)] = found
        return shown


def interactions(lines: dict[str, Any]) -> Interactions:
    return Interactions(**{**lines, "as_of": int(lines["as_of"])})


def histories(
    past: stored.Past, product_ids: NDArray[np.str_], as_of: int, timed: bool = True
) -> Iterator[tuple[CustomerHistory, NDArray[np.int64]]]:
    """Each customer's history, and the positions in it. Lines of one order count once.

    timed: days are days, so that orders of the last ones are counted.
    """
    size = len(product_ids)
    orders = np.unique(np.column_stack([past.row * size + past.product, past.order, past.at]), axis=0)
    pairs, first, times = np.unique(orders[:, 0], return_index=True, return_counts=True)
    at = orders[:, 2]
    oldest, latest = np.minimum.reduceat(at, first), np.maximum.reduceat(at, first)
    gaps = np.where(times > 1, (latest - oldest) / DAY / np.maximum(times - 1, 1), np.nan)
    lately = {days: np.add.reduceat(at >= as_of - days * DAY, first) for days in (28, 91)}
    row, product = np.divmod(pairs, size)
    place = np.lexsort((product, oldest, latest, row))
    starts = np.searchsorted(row[place], np.arange(past.customers + 1))
    for customer in range(past.customers):
        own = place[starts[customer] : starts[customer + 1]]
        yield (
            CustomerHistory(
                product_ids[product[own]],
                times[own],
                (as_of - latest[own]) / DAY,
                gaps[own],
                lately[28][own] if timed else None,
                lately[91][own] if timed else None,
            ),
            product[own],
        )

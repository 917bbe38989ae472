"""The recommender that Patron ships: its weights learned on the validation panel, then asked about the test.

`shipped` is the one place to change when what is shipped changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patron.models.base import CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from recommending import stored
from recommending.ours import SHIPPED, Candidate, histories, interactions

Fold = tuple[Interactions, Catalogue]


def shipped(
    model: Any,
    earlier: Fold,
    asked: list[CustomerHistory],
    bought: list[NDArray[np.int64]],
    fold: Fold | None,
    seed: int,
    threads: int,
) -> Recommender:
    """Fit before the validation window, learn weights on it, fit again before the test where that is later.

    asked, bought: the validation panel's histories, and positions in `earlier`'s catalogue. fold: None where
    the test is answered by what was fitted for the validation.
    """
    model.fit(*earlier, seed=seed, threads=threads)
    model.fit_weights(asked, bought, seed=seed)
    if fold is not None:
        model.fit(*fold, seed=seed, threads=threads)
    return model  # type: ignore[no-any-return]


class Shipped(Candidate):
    """One reading at a time: weights are learned for the answers that count in it."""

    def __init__(self, validation: str, reading: str, **options: Any) -> None:
        super().__init__(SHIPPED, **options)
        self.validation, self.reading = Path(validation), reading

    def fit(self, lines: dict[str, NDArray[Any]], folder: Path) -> None:
        self.as_of = int(lines["as_of"])
        earlier = self.fold(stored.load(self.validation / "fit.npz"), self.validation)
        past = stored.past(self.validation, "validation")
        asked = [one for one, _ in histories(past, earlier[0].product_ids, earlier[0].as_of)]
        bought = [each[each >= 0] for each in self.counted()]
        later = None if folder == self.validation else self.fold(lines, folder)
        self.model = shipped(self.model, earlier, asked, bought, later, self.seed, self.threads)
        self.facts = {"weights": getattr(self.model, "weights", {}).get("home", {})}

    def fold(self, lines: dict[str, NDArray[Any]], folder: Path) -> Fold:
        return interactions(lines), Catalogue.load(folder)

    def counted(self) -> list[NDArray[np.int64]]:
        bought, again = stored.answers(self.validation, "validation")
        if self.reading == "repeats":
            return bought
        return [each[~seen] for each, seen in zip(bought, again, strict=True)]

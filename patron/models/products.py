"""Naming products by position, ranking them, and keeping arrays on disk: what every recommender needs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from patron.errors import ArtifactError

if TYPE_CHECKING:
    from patron.models.base import Config

C = TypeVar("C", bound="Config")


class ProductIndex:
    """Product id -> position in the catalogue order."""

    def __init__(self, product_ids: NDArray[np.str_]) -> None:
        self.product_ids = product_ids
        self._positions = {name: position for position, name in enumerate(product_ids.tolist())}
        self._last: tuple[NDArray[np.str_] | None, NDArray[np.int64]] = (None, np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.product_ids)

    def position(self, product_id: str) -> int | None:
        return self._positions.get(product_id)

    def positions(self, product_ids: Iterable[str]) -> NDArray[np.int64]:
        """One position an id, -1 where the id is unknown. An array given must not be changed afterwards."""
        if not isinstance(product_ids, np.ndarray):
            return self._looked_up(product_ids)
        ids, found = self._last  # every source of a blend asks for the same history
        if ids is not product_ids:
            found = self._looked_up(product_ids.tolist())
            found.flags.writeable = False
            self._last = (product_ids, found)
        return found

    def _looked_up(self, product_ids: Iterable[str]) -> NDArray[np.int64]:
        return np.fromiter(map(self._positions.get, product_ids, repeat(-1)), dtype=np.int64)


def top(
    scores: NDArray[np.float32], limit: int, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Positions of the `limit` highest scores above 0, best first; ties stand in product order.

    scores: shape (n,). allowed: shape (n,), applied before the cut, so that `limit` is met when it can be.
    """
    eligible = scores > 0 if allowed is None else (scores > 0) & allowed
    found = np.flatnonzero(eligible)
    if limit <= 0:
        return found[:0]
    values = scores[found]
    if len(found) > limit:
        edge = np.partition(values, len(values) - limit)[len(values) - limit]
        above, level = np.flatnonzero(values > edge), np.flatnonzero(values == edge)
        chosen = np.sort(np.concatenate([above, level[: limit - len(above)]]))
        found, values = found[chosen], values[chosen]
    return found[np.argsort(-values, kind="stable")]


def best_first(
    positions: NDArray[np.int64], scores: NDArray[np.float32], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `limit` highest scores and their positions, best first; ties stand in product order.

    positions: (m,), in any order, with a score each.
    """
    order = positions.argsort()
    order = order[(-scores[order]).argsort(kind="stable")[: max(limit, 0)]]
    return positions[order], scores[order]


def lowest_of(scores: NDArray[np.float32], limit: int) -> float:
    """The lowest of the `limit` highest scores; 0 where there are fewer."""
    cut = len(scores) - limit
    if limit <= 0 or cut < 0:
        return 0.0
    scores = scores.copy()
    scores.partition(cut)
    return float(scores[cut])


def stretches(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The whole numbers from each begin to before its end, one stretch after another."""
    sizes = ends - begins
    after = sizes.cumsum()
    size = int(after[-1]) if len(sizes) else 0
    return np.arange(size) + (begins + sizes - after).repeat(sizes)


def decay(days: NDArray[np.float64], half_life: float) -> NDArray[np.float64]:
    """1 today, 1/2 after `half_life` days; 1 always where `half_life` is 0."""
    return np.ones(len(days)) if half_life == 0 else np.exp2(-np.maximum(days, 0) / half_life)


def write_arrays(folder: Path, config: Config, **arrays: NDArray[Any]) -> None:
    """Write `arrays.npz` (numbers and fixed-width strings; never objects) and `config.json`."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ArtifactError(f"Array '{name}' holds objects; artifacts hold numbers and strings only.")
    np.savez(folder / "arrays.npz", allow_pickle=False, **arrays)
    (folder / "config.json").write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """What `write_arrays` wrote."""
    with np.load(folder / "arrays.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def read_config(folder: Path, config: type[C]) -> C:
    return config.model_validate_json((folder / "config.json").read_bytes())

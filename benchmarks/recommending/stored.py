"""Folds handed from one process to another as npz files. Reading needs numpy alone: peers have no Patron."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recommending.splits import Fold

Codes = NDArray[np.int64]
INTERACTIONS = ("customer", "order", "product", "at", "product_ids", "price")


@dataclass(frozen=True)
class Past:
    """What the customers of a panel had bought: one row a line, oldest first."""

    customers: int
    row: Codes
    order: Codes
    product: Codes
    at: Codes


def write(fold: Fold, folder: Path, told: Collection[str] = ()) -> None:
    """What a model may see: purchases, facts of products, and panels without their answers.

    told: panels whose answers are written too, apart, for what learns from them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = {name: getattr(fold.interactions, name) for name in INTERACTIONS}
    save(folder / "fit.npz", as_of=np.asarray(fold.interactions.as_of), **lines)
    fold.catalogue.save(folder)
    for name, panel in fold.panels.items():
        past = {each: getattr(panel, f"past_{each}") for each in ("row", "order", "product", "at")}
        save(folder / f"panel-{name}.npz", customers=np.asarray(len(panel)), **past)
        if name not in told:
            continue
        starts = np.cumsum([0, *(len(each) for each in panel.bought)])
        bought, again = (np.concatenate([*each]) for each in (panel.bought, panel.again))
        save(folder / f"answers-{name}.npz", starts=starts, bought=bought, again=again)


def save(path: Path, **arrays: Any) -> None:
    np.savez(path, allow_pickle=False, **{name: each for name, each in arrays.items() if each is not None})


def load(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def past(folder: Path, panel: str) -> Past:
    found = load(folder / f"panel-{panel}.npz")
    known = {each.name: found[each.name] for each in fields(Past) if each.name != "customers"}
    return Past(customers=int(found["customers"]), **known)


def answers(folder: Path, panel: str) -> tuple[list[Codes], list[NDArray[np.bool_]]]:
    """For each customer the positions bought in the window, and whether each had been bought before."""
    found = load(folder / f"answers-{panel}.npz")
    ends = found["starts"][1:-1]
    return np.split(found["bought"], ends), np.split(found["again"], ends)

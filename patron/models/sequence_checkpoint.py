"""What a fit of the sequence model keeps after each epoch, so that it can be cut short and go on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from patron.files import sync
from patron.models.sequence_data import Sequences

if TYPE_CHECKING:
    from patron.models.sequence import SequenceConfig
    from patron.models.sequence_training import Fitting

FILE = "checkpoint.npz"
FACTS = ("phase", "epoch", "seconds", "best_epoch", "best_ndcg")


def fingerprint(whole: Sequences, n_products: int, config: SequenceConfig, seed: int) -> str:
    """What a checkpoint must agree with: data, settings and seed. The time budget may change."""
    facts = config.model_dump_json(exclude={"time_budget_seconds"})
    digest = hashlib.sha256(f"{facts} {n_products} {seed}".encode())
    for each in (whole.product, whole.at, whole.starts):
        digest.update(each.tobytes())
    return digest.hexdigest()


def save(fitting: Fitting, folder: Path, mark: str) -> None:
    """Put weights, moments and progress into one file that takes the place of the last."""
    facts = {"mark": mark, **{name: getattr(fitting, name) for name in FACTS}}
    arrays = {
        "facts": np.asarray(json.dumps(facts)),
        **{f"network.{name}": each.numpy() for name, each in fitting.network.state_dict().items()},
        **{f"best.{name}": each for name, each in fitting.best.items()},
        **_moments(fitting),
    }
    aside = folder / f".{FILE}"
    np.savez(aside, allow_pickle=False, **arrays)
    sync(aside)
    aside.replace(folder / FILE)


def _moments(fitting: Fitting) -> dict[str, NDArray[Any]]:
    state = fitting.optimizer.state_dict()["state"]
    return {
        f"optimizer.{place}.{name}": each.numpy()
        for place, moments in state.items()
        for name, each in moments.items()
    }


def restore(fitting: Fitting, folder: Path, mark: str) -> None:
    """Go on where `save` left off; nothing happens where the file is missing or of another fit."""
    if not (folder / FILE).is_file():
        return
    with np.load(folder / FILE, allow_pickle=False) as stored:
        facts = json.loads(str(stored["facts"]))
        if facts.pop("mark") != mark:
            return
        arrays = {name: stored[name] for name in stored.files}
    for name, value in facts.items():
        setattr(fitting, name, value)
    fitting.best = _group(arrays, "best")
    fitting.network.load_state_dict(_tensors(_group(arrays, "network")))
    moments = {
        place: _tensors(_group(arrays, f"optimizer.{place}"))
        for place in range(len(list(fitting.network.parameters())))
    }
    fitting.optimizer.load_state_dict({**fitting.optimizer.state_dict(), "state": moments})


def _group(arrays: dict[str, NDArray[Any]], group: str) -> dict[str, NDArray[Any]]:
    prefix = f"{group}."
    return {name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)}


def _tensors(arrays: dict[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(each) for name, each in arrays.items()}

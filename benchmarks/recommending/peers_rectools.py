"""Peers from RecTools. They run in the environment of `peers.txt`: nothing of Patron is imported here."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommending import stored

Lists = dict[str, NDArray[np.int64]]


def frame(row: Any, product: Any, at: Any, weight: Any = 1.0) -> Any:
    import pandas as pd

    return pd.DataFrame(
        {"user_id": row, "item_id": product, "weight": weight, "datetime": pd.to_datetime(at, unit="s")}
    )


def shuffled(seed: int, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Oldest first; lines of one time stand in no order, so a random one is as good as any."""
    mixed = np.random.default_rng(seed).permutation(len(at))
    return mixed[np.argsort(at[mixed], kind="stable")]


def dataset(lines: Any, size: int) -> Any:
    """Products keep their positions as ids, in every data set alike."""
    from rectools.dataset import Dataset, IdMap, Interactions

    users, items = IdMap.from_values(lines["user_id"].to_numpy()), IdMap.from_values(np.arange(size))
    return Dataset(users, items, Interactions.from_raw(lines, users, items))


class RecToolsPeer:
    def __init__(
        self, seed: int, threads: int, minutes: float, overrides: dict[str, Any] | None = None
    ) -> None:
        self.seed, self.threads, self.minutes, self.overrides = seed, threads, minutes, overrides or {}
        self.facts: dict[str, Any] = {"settings": self.overrides}

    def made(self) -> Any:
        raise NotImplementedError

    def lines(self, row: Any, order: Any, product: Any, at: Any) -> Any:
        """Every line, oldest first."""
        place = shuffled(self.seed, at)
        return frame(row[place], product[place], at[place])

    def fit(self, lines: dict[str, NDArray[Any]], folder: Path) -> None:
        known, self.size = lines["customer"] >= 0, len(lines["product_ids"])
        bought = self.lines(*(lines[name][known] for name in ("customer", "order", "product", "at")))
        self.model = self.made()
        self.model.fit(dataset(bought, self.size))

    def answers(self, past: stored.Past, readings: list[str], depth: int) -> Lists:
        asked = self.lines(past.row, past.order, past.product, past.at)
        known = dataset(asked, self.size)
        found = {}
        for reading in readings:
            rows = self.model.recommend(
                users=np.unique(past.row),
                dataset=known,
                k=depth,
                filter_viewed=reading == "new",
                on_unsupported_targets="ignore",
            )
            found[reading] = np.full((past.customers, depth), -1, dtype=np.int64)
            found[reading][rows["user_id"], rows["rank"] - 1] = rows["item_id"]
        return found


class Popular(RecToolsPeer):
    """Distinct buyers of the last `window_days`. Customers without a history get it too."""

    def made(self) -> Any:
        from rectools.models import PopularModel

        return PopularModel(period=timedelta(days=self.overrides.get("window_days", 28)))

    def answers(self, past: stored.Past, readings: list[str], depth: int) -> Lists:
        found = super().answers(past, readings, depth)
        best = self.model.popularity_list[0][:depth]
        for shown in found.values():
            shown[~np.isin(np.arange(past.customers), past.row), : len(best)] = best
        return found


class EASE(RecToolsPeer):
    """Of distinct pairs."""

    def lines(self, row: Any, order: Any, product: Any, at: Any) -> Any:
        pairs = np.unique(np.column_stack([row, product]), axis=0)
        return frame(pairs[:, 0], pairs[:, 1], np.zeros(len(pairs)))

    def made(self) -> Any:
        from rectools.models import EASEModel

        needed = 4 * 4 * self.size**2  # the gram matrix, its inverse and the weights, and one to spare
        if needed > available():
            raise MemoryError(f"{self.size:,} products need {needed / 2**30:,.0f} GB")
        regularization = self.overrides.get("regularization", 500.0)
        return EASEModel(regularization=regularization, recommend_n_threads=self.threads)


class SASRec(RecToolsPeer):
    """Stops when the loss on held-out last products has not fallen for some epochs, or time is over."""

    settings = (
        ("n_blocks", 1),
        ("n_heads", 1),
        ("n_factors", 64),
        ("session_max_len", 50),
        ("dropout_rate", 0.2),
        ("loss", "sampled_softmax"),
        ("n_negatives", 256),
        ("lr", 1e-3),
        ("batch_size", 128),
    )

    def made(self) -> Any:
        import torch
        from pytorch_lightning import seed_everything
        from rectools.models import SASRecModel

        torch.set_num_threads(self.threads)
        seed_everything(self.seed, verbose=False)
        return SASRecModel(
            **{**dict(self.settings), **self.overrides},
            get_val_mask_func=self.held_out,
            get_trainer_func=self.trainer,
            similarity_module_type=similarity(),
            recommend_torch_device="cpu",
        )

    def held_out(self, interactions: Any, **_: Any) -> NDArray[np.bool_]:
        """The last products of some customers."""
        users = interactions["user_id"]
        last = ~users[::-1].duplicated()[::-1].to_numpy()
        long = users.map(users.value_counts()).to_numpy() >= 3
        places = np.flatnonzero(last & long)
        chosen = np.random.default_rng(self.seed).permutation(places)[: min(2000, len(places) // 5)]
        return np.isin(np.arange(len(users)), chosen)

    def trainer(self, **_: Any) -> Any:
        import logging

        from pytorch_lightning import Trainer

        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        return Trainer(
            max_epochs=200,
            max_time=timedelta(minutes=self.minutes),
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[keeper()],
        )

    def fit(self, lines: dict[str, NDArray[Any]], folder: Path) -> None:
        super().fit(lines, folder)
        self.facts = {
            "settings": {**dict(self.settings), **self.overrides},
            "epochs": int(self.model.fit_trainer.current_epoch),
        }


def similarity() -> Any:
    """RecTools' own scores of the right product and the negatives, many times faster on a processor.

    Places that only fill a short history up, which its loss leaves out, are not scored, and vectors are
    looked up by `embedding`, whose gradient costs less than that of indexing.
    """
    import torch
    from rectools.models.nn.transformers.similarity import DistanceSimilarityModule

    class Similarity(DistanceSimilarityModule):  # type: ignore[misc]
        def _get_pos_neg_logits(self, session_embs: Any, item_embs: Any, candidate_item_ids: Any) -> Any:
            if candidate_item_ids.shape[1] == 1:  # held-out products: the same candidates at every place
                return session_embs @ item_embs[candidate_item_ids[:, 0]].transpose(1, 2)
            told = candidate_item_ids[:, :, 0] != 0
            near = torch.nn.functional.embedding(candidate_item_ids[told], item_embs)
            logits = session_embs.new_zeros(candidate_item_ids.shape)
            logits[told] = (near @ session_embs[told].unsqueeze(-1)).squeeze(-1)
            return logits

    return Similarity


def keeper(patience: int = 5) -> Any:
    """Keeps the weights of the epoch with the lowest held-out loss, and stops `patience` epochs after it."""
    import sys

    from pytorch_lightning import Callback

    class Keeper(Callback):
        lowest, waited, weights = float("inf"), 0, None

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            if trainer.sanity_checking:
                return
            loss = float(trainer.callback_metrics[pl_module.val_loss_name])
            sys.stderr.write(f"epoch {trainer.current_epoch + 1}: held-out loss {loss:.4f}\n")
            self.waited += 1
            if loss < self.lowest:
                self.lowest, self.waited, self.weights = loss, 0, deepcopy(pl_module.state_dict())
            trainer.should_stop = trainer.should_stop or self.waited >= patience

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
            if self.weights is not None:
                pl_module.load_state_dict(self.weights)

    return Keeper()


def available() -> float:
    """Bytes of memory that are free; unlimited where the system does not say."""
    path = Path("/proc/meminfo")
    if not path.is_file():
        return float("inf")
    found = [line for line in path.read_text().splitlines() if line.startswith("MemAvailable:")]
    return int(found[0].split()[1]) * 1024 if found else float("inf")

"""What comes next after what was bought: causal self-attention over a customer's sequence of products.

Source: Kang & McAuley 2018 (the network); Petrov & Macdonald 2023 (many negatives instead of one). Fitted by
torch, answered by ONNX Runtime. Only products have vectors, so an artifact knows no customers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from patron.errors import ArtifactError
from patron.models.asked import SPARE, Asked, Best, Dense, Mask, Positions, Scores, contenders
from patron.models.base import Config, CustomerHistory, Interactions, Recommender
from patron.models.catalogue import Catalogue
from patron.models.products import ProductIndex, best_first, read_arrays, read_config, write_arrays
from patron.models.sequence_data import sequences

if TYPE_CHECKING:
    from patron.models.sequence_data import Sequences

PROBES = 32
"""Sequences on which the exported network must agree with the fitted one."""
TOLERANCE = 1e-5
CLOSED, OPEN = np.float32(-np.inf), float(np.finfo(np.float32).min)
"""The logit of what is never proposed, and the least of what may be."""


class SequenceConfig(Config):
    factors: int = Field(default=64, ge=1)
    """Length of a product's vector; a multiple of `heads`."""
    blocks: int = Field(default=1, ge=1)
    """Layers of attention."""
    heads: int = Field(default=1, ge=1)
    """Parts of a vector that attend on their own."""
    hidden: int = Field(default=0, ge=0)
    """Width of the feed-forward layers; 0: as wide as a vector."""
    max_length: int = Field(default=50, ge=1)
    """Products of a history that are looked at, the most recent ones."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of values set to 0 while fitting."""
    temperature: float = Field(default=0.1, gt=0)
    """Logits are cosines over this: the smaller, the more the hardest negatives count."""
    negatives: int = Field(default=1_024, ge=0)
    """Products drawn for each batch to stand against the right one; 0: all of them."""
    batch_size: int = Field(default=1_600, ge=1)
    """Purchases of a step: as many customers as together have so many."""
    learning_rate: float = Field(default=0.001, gt=0)
    """Step size of Adam."""
    epochs: int = Field(default=100, ge=1)
    """Passes over the customers at most; early stopping usually ends them sooner."""
    patience: int = Field(default=5, ge=1)
    """Epochs without a better ndcg@10 on the customers' last new products, after which the search ends."""
    refit: bool = True
    """Fit again on everything for the best number of epochs found; else keep the best network found."""
    time_budget_seconds: float = Field(default=0.0, ge=0)
    """Stop at the best epoch so far when this much time has passed; 0: no limit."""

    @model_validator(mode="after")
    def _heads_share_a_vector(self) -> Self:
        if self.factors % self.heads:
            raise ValueError(f"factors ({self.factors}) must be a multiple of heads ({self.heads})")
        return self


@dataclass(frozen=True)
class Progress:
    """One epoch done. ndcg is None while refitting, when nothing is held out."""

    phase: str
    epoch: int
    epochs: int
    loss: float
    ndcg: float | None
    seconds: float

    def __str__(self) -> str:
        found = "" if self.ndcg is None else f", ndcg@10 {self.ndcg:.4f}"
        return f"{self.phase}, epoch {self.epoch} of at most {self.epochs}{found}"


class Sequence(Recommender):
    """Learns which new product comes next; products of one moment are shuffled in every epoch."""

    Config = SequenceConfig

    def __init__(self, config: SequenceConfig | None = None) -> None:
        self.config = config or SequenceConfig()
        self.product_ids: NDArray[np.str_] = np.zeros(0, dtype="U1")
        self.item_vectors = np.zeros((0, self.config.factors), dtype=np.float32)
        self.sold: NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self.network = b""

    @cached_property
    def index(self) -> ProductIndex:
        return ProductIndex(self.product_ids)

    @cached_property
    def _session(self) -> Any:
        return session(self.network)

    def fit(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
        checkpoint: Path | None = None,
        advance: Callable[[Progress], None] | None = None,
    ) -> None:
        """Learn from the order in which known customers first bought products; guests tell no order.

        checkpoint: an existing folder. Each epoch is kept there in `checkpoint.npz`, and a fit of the same
        data, settings and seed that was cut short goes on from it, to the same result. One left by another
        fit is overwritten. advance: called after each epoch. Raises ArtifactError where the exported network
        answers otherwise than the fitted one.
        """
        for cached in ("index", "_session", "_directions", "_unsold"):
            self.__dict__.pop(cached, None)
        self.product_ids, size = interactions.product_ids, len(interactions.product_ids)
        whole = sequences(interactions)
        self.sold = np.bincount(whole.product, minlength=size) > 0
        self.item_vectors = np.zeros((size, self.config.factors), dtype=np.float32)
        self.network = b""
        if (whole.lengths >= 2).any():
            self._learn(whole, seed, threads, checkpoint, advance)

    def _learn(
        self,
        whole: Sequences,
        seed: int,
        threads: int,
        checkpoint: Path | None,
        advance: Callable[[Progress], None] | None,
    ) -> None:
        from patron.models import sequence_onnx, sequence_training

        with sequence_training.quiet(threads):
            network = sequence_training.fitted(
                whole, len(self.product_ids), self.config, seed, checkpoint, advance
            )
            weights = {name: each.numpy() for name, each in network.state_dict().items()}
            self.item_vectors = weights.pop("products.weight")[:-1].copy()
            self.network = sequence_onnx.exported(weights, self.config)
            for row in np.flatnonzero(whole.lengths)[:PROBES]:
                expected = sequence_training.vectors(
                    network, whole, np.asarray([row]), self.config.max_length
                )
                begin, end = whole.starts[row], whole.starts[row + 1]
                self._agrees(whole.product[begin:end], expected.numpy()[0])

    def _agrees(self, positions: NDArray[np.int64], expected: NDArray[np.float32]) -> None:
        apart = float(np.abs(self._next(positions) - expected).max())
        if apart > TOLERANCE:
            raise ArtifactError(
                f"The exported sequence network is {apart:.2g} apart from the fitted one on {len(positions)} "
                f"products, more than {TOLERANCE}. Do not use it; fit again, and report this."
            )

    def _next(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vector of what comes after these products, shape (factors,)."""
        recent = self.item_vectors[positions[-self.config.max_length :]]
        found: NDArray[np.float32] = self._session.run(None, {"products": recent[None]})[0][0, 0]
        return found

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        lengths = np.linalg.norm(self.item_vectors, axis=1, keepdims=True)
        scale = np.float32(self.config.temperature) * np.maximum(lengths, 1e-12)
        return self.item_vectors / scale

    def scores(self, history: CustomerHistory) -> NDArray[np.float32]:
        """exp(logit - highest logit): 1 for the likeliest new product.

        0 for what the history holds, since only new products were learned, and for what nobody bought.
        """
        logits = self._logits(history)
        scores = np.zeros(len(self.product_ids), dtype=np.float32)
        if logits is not None:
            known = logits > CLOSED
            scores[known] = np.exp(logits[known] - logits.max())
        return scores

    def asked(self, history: CustomerHistory) -> Asked:
        logits = self._logits(history)
        return Dense(np.zeros(len(self.product_ids), dtype=np.float32)) if logits is None else Likely(logits)

    def _logits(self, history: CustomerHistory) -> Scores | None:
        """Of every product, CLOSED where the score is 0; None where there is nothing to go by."""
        positions = self.index.positions(history.product_ids)
        positions = positions[positions >= 0]
        if not (self.network and len(positions)):
            return None
        vector = self._next(positions)
        logits: Scores = self._directions @ (vector / max(float(np.linalg.norm(vector)), 1e-12))
        logits[self._unsold] = CLOSED
        logits[positions] = CLOSED
        return logits if logits.max() > CLOSED else None

    @cached_property
    def _unsold(self) -> NDArray[np.int64]:
        return np.flatnonzero(~self.sold)

    def save(self, folder: Path) -> None:
        write_arrays(
            folder,
            self.config,
            product_ids=self.product_ids,
            item_vectors=self.item_vectors,
            sold=self.sold,
        )
        (folder / "network.onnx").write_bytes(self.network)

    @classmethod
    def load(cls, folder: Path) -> Self:
        model = cls(read_config(folder, SequenceConfig))
        stored = read_arrays(folder)
        model.product_ids, model.item_vectors = stored["product_ids"], stored["item_vectors"]
        model.sold, model.network = stored["sold"], (folder / "network.onnx").read_bytes()
        return model


class Likely(Asked):
    """exp(logit - highest logit), formed only for the products that are asked about."""

    def __init__(self, logits: Scores) -> None:
        self.logits, self.highest = logits, logits.max()

    def best(self, depth: int, allowed: Mask) -> Best:
        found, all_of_them = contenders(self.logits, int(SPARE * depth), least=OPEN)
        found = found[allowed[found]]
        if len(found) < depth and not all_of_them:
            found = np.flatnonzero(allowed & (self.logits >= OPEN))
        scores = self.at(found)
        found, _ = best_first(found[scores > 0], self.logits[found][scores > 0], depth)
        return found, self.at(found)

    def at(self, positions: Positions) -> Scores:
        return np.exp(self.logits[positions] - self.highest)


def session(network: bytes) -> Any:
    """An ONNX Runtime session with one thread: parallelism comes from serving many customers."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])

"""Fitting the sequence model: epochs, early stopping, checkpoints. Imported while fitting only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from patron.models import sequence_checkpoint as checkpoints
from patron.models.sequence import Progress, SequenceConfig
from patron.models.sequence_data import Sequences, batches, held_out, taste
from patron.models.sequence_network import Network, loss

SAMPLE = 4_000
"""Customers that early stopping listens to."""
CUTOFF = 10
START_LENGTH = 1.0
"""Length of a product's vector before the first epoch: the longer, the slower it turns."""
EVALUATED = 512
"""Customers ranked at once: 100 MB for 50,000 products."""


class Fitting:
    """A network between two epochs. Randomness follows from seed, phase and epoch, so it needs no keeping."""

    def __init__(self, n_products: int, config: SequenceConfig, seed: int) -> None:
        self.n_products, self.config, self.seed = n_products, config, seed
        self.phase, self.epoch, self.seconds = "search", 0, 0.0
        self.best_epoch, self.best_ndcg = 0, -1.0
        self.best: dict[str, NDArray[np.float32]] = {}
        self._build(np.zeros((n_products, config.factors), dtype=np.float32))

    def start(self, phase: str, learned: Sequences) -> None:
        """A new network, begun from the tastes in the sequences that it will learn."""
        self.phase, self.epoch = phase, 0
        rng = self._seeded()
        self._build(taste(learned, self.n_products, self.config.factors, rng))

    def _build(self, vectors: NDArray[np.float32]) -> None:
        self.network = Network(torch.from_numpy(vectors * START_LENGTH), self.config)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=self.config.learning_rate, fused=True)

    def _seeded(self) -> np.random.Generator:
        rng = np.random.default_rng([self.seed, len(self.phase), self.epoch])
        torch.manual_seed(int(rng.integers(2**63)))
        return rng

    def learn(self, sequences: Sequences) -> float:
        """One epoch; the mean loss of its batches."""
        self.epoch += 1
        rng = self._seeded()
        self.network.train()
        shuffled, total, count = sequences.shuffled(rng), 0.0, 0
        lengths = np.minimum(sequences.lengths, self.config.max_length + 1)
        for rows in batches(lengths, self.config.batch_size, rng):
            total += self._step(shuffled, rows, rng)
            count += 1
        return total / max(count, 1)

    def _step(self, sequences: Sequences, rows: NDArray[np.int64], rng: np.random.Generator) -> float:
        length = min(self.config.max_length, int(sequences.lengths[rows].max()) - 1)
        padded = torch.from_numpy(sequences.padded(rows, length + 1, self.n_products))
        negatives = torch.from_numpy(self._negatives(rng))
        found = loss(self.network, padded, negatives, self.config.temperature)
        self.optimizer.zero_grad()
        found.backward()
        self.optimizer.step()
        return float(found.detach())

    def _negatives(self, rng: np.random.Generator) -> NDArray[np.int64]:
        wanted = self.config.negatives or self.n_products
        if wanted >= self.n_products:
            return np.arange(self.n_products)
        return rng.choice(self.n_products, wanted, replace=False)

    def remember(self, ndcg: float) -> None:
        """Keep the weights if they are the best so far."""
        if ndcg > self.best_ndcg:
            self.best_epoch, self.best_ndcg = self.epoch, ndcg
            self.best = {name: each.numpy().copy() for name, each in self.network.state_dict().items()}


def fitted(
    whole: Sequences,
    n_products: int,
    config: SequenceConfig,
    seed: int,
    checkpoint: Path | None,
    advance: Callable[[Progress], None] | None,
) -> Network:
    """The network of the best epoch; refitted on everything for as many epochs where `refit` says so.

    The best epoch is found on each customer's last new products, which are held out until then.
    """
    fitting = Fitting(n_products, config, seed)
    mark = checkpoints.fingerprint(whole, n_products, config, seed)
    if checkpoint:
        checkpoints.restore(fitting, checkpoint, mark)
    loop = _Loop(fitting, config, checkpoint, mark, advance)
    if fitting.phase == "search":
        loop.search(whole)
    if fitting.phase == "refit":
        loop.refit(whole)
    return fitting.network.eval()


class _Loop:
    """The two phases, with the clock, the checkpoint and the callback that they share."""

    def __init__(
        self,
        fitting: Fitting,
        config: SequenceConfig,
        checkpoint: Path | None,
        mark: str,
        advance: Callable[[Progress], None] | None,
    ) -> None:
        self.fitting, self.config, self.checkpoint = fitting, config, checkpoint
        self.mark, self.advance = mark, advance
        self.before, self.begun, self.slowest = fitting.seconds, time.monotonic(), 0.0

    def search(self, whole: Sequences) -> None:
        fitting, held = self.fitting, held_out(whole)
        kept, later = whole.kept(~held), whole.kept(held)
        if fitting.epoch == 0:
            fitting.start("search", kept)
        if not held.any():
            fitting.best_epoch = self.config.patience
        share = 0.5 if self.config.refit else 1.0
        while held.any() and self._searching(share):
            found = fitting.learn(kept)
            ndcg = validated(fitting.network, kept, later, fitting.seed, self.config.max_length)
            fitting.remember(ndcg)
            self._ended(self.config.epochs, found, ndcg)
        if self.config.refit or not held.any():
            fitting.start("refit", whole)
        else:
            self._use_best()

    def _searching(self, share: float) -> bool:
        fitting = self.fitting
        patient = fitting.epoch - fitting.best_epoch < self.config.patience
        return fitting.epoch < self.config.epochs and patient and self._in_time(share)

    def refit(self, whole: Sequences) -> None:
        fitting = self.fitting
        while fitting.epoch < fitting.best_epoch and self._in_time(1.0):
            self._ended(fitting.best_epoch, fitting.learn(whole), None)
        if fitting.epoch < fitting.best_epoch and fitting.best:
            self._use_best()

    def _in_time(self, share: float) -> bool:
        """Whether one more epoch fits into this share of the budget; the first of a phase always does."""
        budget = self.config.time_budget_seconds * share
        return budget == 0 or self.fitting.epoch == 0 or self.fitting.seconds + self.slowest <= budget

    def _ended(self, epochs: int, found: float, ndcg: float | None) -> None:
        fitting, seconds = self.fitting, self.before + time.monotonic() - self.begun
        self.slowest = max(self.slowest, seconds - fitting.seconds)
        fitting.seconds = seconds
        if self.checkpoint:
            checkpoints.save(fitting, self.checkpoint, self.mark)
        if self.advance:
            self.advance(Progress(fitting.phase, fitting.epoch, epochs, found, ndcg, fitting.seconds))

    def _use_best(self) -> None:
        weights = {name: torch.from_numpy(each) for name, each in self.fitting.best.items()}
        self.fitting.network.load_state_dict(weights)


@torch.no_grad()
def validated(network: Network, kept: Sequences, later: Sequences, seed: int, max_length: int) -> float:
    """Mean ndcg@10 over all products not bought yet, of a sample of the customers with `later` purchases."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(later.lengths > 0))[:SAMPLE]
    rows = rows[np.argsort(kept.lengths[rows], kind="stable")]
    network.eval()
    parts = [rows[start : start + EVALUATED] for start in range(0, len(rows), EVALUATED)]
    return float(np.concatenate([_ndcg(network, kept, later, part, max_length) for part in parts]).mean())


def _ndcg(
    network: Network, kept: Sequences, later: Sequences, rows: NDArray[np.int64], max_length: int
) -> NDArray[np.float64]:
    products = functional.normalize(network.products.weight[:-1], dim=-1)
    logits = vectors(network, kept, rows, max_length) @ products.T
    size = logits.shape[1]
    logits[_cells(kept, rows)] = -torch.inf
    best = torch.topk(logits, min(CUTOFF, size)).indices.numpy()
    wanted = np.zeros((len(rows), size), dtype=bool)
    wanted[_cells(later, rows)] = True
    gains = 1 / np.log2(np.arange(best.shape[1]) + 2)
    found = (np.take_along_axis(wanted, best, 1) * gains).sum(1)
    return found / np.cumsum(gains)[np.minimum(wanted.sum(1), len(gains)) - 1]


def _cells(sequences: Sequences, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(place in `rows`, product) of every purchase of these rows."""
    lengths = sequences.lengths[rows]
    before = np.cumsum(lengths) - lengths
    cells = np.arange(lengths.sum()) + np.repeat(sequences.starts[rows] - before, lengths)
    return np.repeat(np.arange(len(rows)), lengths), sequences.product[cells]


@torch.no_grad()
def vectors(network: Network, sequences: Sequences, rows: NDArray[np.int64], max_length: int) -> torch.Tensor:
    """What the network makes of each row's last products, shape (len(rows), factors)."""
    length = int(min(max_length, sequences.lengths[rows].max()))
    padded = torch.from_numpy(sequences.padded(rows, length, network.padding))
    return network(padded, network.products(padded))[:, -1]


@contextmanager
def quiet(threads: int) -> Iterator[None]:
    """Torch with so many threads and deterministic algorithms; its global state is as before afterwards."""
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict)

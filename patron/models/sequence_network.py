"""The network of the sequence model in torch, and its loss. Imported while fitting only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from patron.models.sequence import SequenceConfig


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each after a normalisation and around a shortcut.

    Source: Kang & McAuley 2018, equations 2 to 9, with the normalisation before each layer.
    """

    def __init__(self, factors: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm = nn.LayerNorm(factors)
        self.queries, self.keys_values = nn.Linear(factors, factors), nn.Linear(factors, 2 * factors)
        self.mixed = nn.Linear(factors, factors)
        self.feed_norm = nn.LayerNorm(factors)
        self.wider, self.narrower = nn.Linear(factors, hidden), nn.Linear(hidden, factors)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """vectors: (batch, length, factors). mask: what may be looked at, (batch, 1, length, length)."""
        vectors = vectors + self._dropped(self._attention(self.attention_norm(vectors), mask))
        hidden = functional.relu(self.wider(self.feed_norm(vectors)))
        return vectors + self._dropped(self.narrower(hidden))

    def _attention(self, vectors: Tensor, mask: Tensor) -> Tensor:
        batch, length, factors = vectors.shape
        keys, values = self.keys_values(vectors).split(factors, dim=-1)
        queries, keys, values = (
            each.view(batch, length, self.heads, -1).transpose(1, 2)
            for each in (self.queries(vectors), keys, values)
        )
        logits = queries @ keys.transpose(-1, -2) / math.sqrt(factors // self.heads)
        weights = logits.masked_fill(~mask, -torch.inf).softmax(-1)
        return self.mixed((weights @ values).transpose(1, 2).reshape(batch, length, factors))

    def _dropped(self, vectors: Tensor) -> Tensor:
        return functional.dropout(vectors, self.dropout, self.training)


class Network(nn.Module):
    """Product positions -> the vector that stands for what comes next.

    The embeddings of products are those that the answer is compared with (tied). Row n_products is padding.
    """

    def __init__(self, start: Tensor, config: SequenceConfig) -> None:
        """start: (n_products, factors), the products' vectors to begin with."""
        super().__init__()
        n_products = len(start)
        self.padding, self.dropout, factors = n_products, config.dropout, config.factors
        self.products = nn.Embedding(n_products + 1, factors, padding_idx=n_products)
        self.positions = nn.Parameter(torch.zeros(config.max_length, factors))
        hidden = config.hidden or factors
        self.blocks = nn.ModuleList(
            Block(factors, config.heads, hidden, config.dropout) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(factors)
        self._begin(start)

    def _begin(self, start: Tensor) -> None:
        """The answer is the last product's own vector at first: what is like it. The rest is learned."""
        with torch.no_grad():
            self.products.weight[: self.padding] = start
            self.positions.normal_(std=0.02)
            for block in self.blocks:
                block.mixed.weight.zero_()
                block.narrower.weight.zero_()

    def forward(self, products: Tensor, embedded: Tensor) -> Tensor:
        """products: (batch, length), padded before; embedded: their rows. -> (batch, length, factors).

        Positions are counted from the end, so that the last product has the same one in any sequence.
        """
        length = products.shape[1]
        vectors = embedded + self.positions[-length:]
        vectors = functional.dropout(vectors, self.dropout, self.training)
        mask = self._mask(products)
        for block in self.blocks:
            vectors = block(vectors, mask)
        return self.norm(vectors)

    def _mask(self, products: Tensor) -> Tensor:
        """True where a step may look: at itself, and at products before it that are no padding."""
        length = products.shape[1]
        before = torch.ones(length, length, dtype=torch.bool).tril(-1)
        looked = before & (products != self.padding)[:, None, None, :]
        return looked | torch.eye(length, dtype=torch.bool)


class SumOfNegatives(torch.autograd.Function):
    """log sum exp(vectors @ negatives.T) by row, in place: a fifth of the memory traffic of the plain way."""

    @staticmethod
    def forward(context: Any, vectors: Tensor, negatives: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """vectors: (n, factors). negatives: (m, factors). rows, columns: cells that do not count."""
        cells = vectors @ negatives.T
        cells[rows, columns] = -torch.inf
        highest = cells.amax(1, keepdim=True).clamp_(min=-1e30)
        cells.sub_(highest).exp_()
        total = cells.sum(1, keepdim=True)
        context.save_for_backward(vectors, negatives, cells, total)
        return (total.log() + highest).squeeze(1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        vectors, negatives, cells, total = context.saved_tensors
        share = torch.where(total > 0, gradient[:, None] / total, 0.0)
        return (cells @ negatives) * share, cells.T @ (vectors * share), None, None


def loss(network: Network, padded: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of each next product against `negatives`, those equal to it left out.

    padded: (batch, length + 1). negatives: (m,) distinct products, shared by the batch. Logits are cosines
    over the temperature. Source: Petrov & Macdonald 2023, section 3, with softmax in place of their loss.
    """
    inputs, targets = padded[:, :-1], padded[:, 1:]
    counted = inputs != network.padding
    targets = targets[counted]
    # One lookup: its gradient is one dense array, and not three.
    rows = network.products(torch.cat([inputs.reshape(-1), targets, negatives]))
    embedded, wanted, others = rows.split([inputs.numel(), len(targets), len(negatives)])
    vectors = network(inputs, embedded.view(*inputs.shape, -1))[counted]
    vectors = functional.normalize(vectors, dim=-1) / temperature
    right = (vectors * functional.normalize(wanted, dim=-1)).sum(-1)
    cells = _same(targets, negatives, network.padding)
    wrong = SumOfNegatives.apply(vectors, functional.normalize(others, dim=-1), *cells)
    return functional.softplus(wrong - right).mean()


def _same(targets: Tensor, negatives: Tensor, n_products: int) -> tuple[Tensor, Tensor]:
    """Cells (target, negative) that name one product. negatives: distinct."""
    column = torch.full((n_products,), -1)
    column[negatives] = torch.arange(len(negatives))
    found = column[targets]
    return torch.nonzero(found >= 0).squeeze(1), found[found >= 0]

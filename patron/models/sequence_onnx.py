"""The network of the sequence model as an ONNX graph that computes the last step only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from patron.models.sequence import SequenceConfig

OPSET = 17
"""The first with LayerNormalization."""
IR_VERSION = 8

Weights = dict[str, NDArray[np.float32]]


class _Graph:
    """Nodes in order; every call adds one and gives the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def integers(self, *values: int) -> str:
        return self.constant("integers_" + "_".join(map(str, values)), np.asarray(values, dtype=np.int64))


class _Exporter:
    def __init__(self, weights: Weights, config: SequenceConfig) -> None:
        self.weights, self.config, self.graph = weights, config, _Graph()

    def linear(self, name: str, vectors: str) -> str:
        matrix = self.graph.constant(f"{name}.weight", self.weights[f"{name}.weight"].T)
        bias = self.graph.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self.graph.add("Add", self.graph.add("MatMul", vectors, matrix), bias)

    def norm(self, name: str, vectors: str) -> str:
        scale = self.graph.constant(f"{name}.weight", self.weights[f"{name}.weight"])
        bias = self.graph.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self.graph.add("LayerNormalization", vectors, scale, bias, axis=-1, epsilon=1e-5)

    def last(self, vectors: str) -> str:
        integers = self.graph.integers
        return self.graph.add("Slice", vectors, integers(-1), integers(np.iinfo(np.int64).max), integers(1))

    def heads(self, vectors: str, *order: int) -> str:
        shape = self.graph.integers(0, -1, self.config.heads, self.config.factors // self.config.heads)
        return self.graph.add("Transpose", self.graph.add("Reshape", vectors, shape), perm=list(order))

    def block(self, name: str, vectors: str, mask: str | None) -> str:
        """mask: added to the logits; None for the last step alone, which may look at every step."""
        asking = self.last(vectors) if mask is None else vectors
        mixed = self.attention(name, self.norm(f"{name}.attention_norm", vectors), mask)
        asking = self.graph.add("Add", asking, mixed)
        hidden = self.linear(f"{name}.wider", self.norm(f"{name}.feed_norm", asking))
        return self.graph.add("Add", asking, self.linear(f"{name}.narrower", self.graph.add("Relu", hidden)))

    def attention(self, name: str, vectors: str, mask: str | None) -> str:
        graph, factors = self.graph, self.config.factors
        asked = self.linear(f"{name}.queries", self.last(vectors) if mask is None else vectors)
        both = self.linear(f"{name}.keys_values", vectors)
        parts = [
            graph.add(
                "Slice", both, graph.integers(start), graph.integers(start + factors), graph.integers(2)
            )
            for start in (0, factors)
        ]
        root = graph.constant("root", np.float32((factors // self.config.heads) ** -0.5).reshape(1))
        logits = graph.add("MatMul", self.heads(asked, 0, 2, 1, 3), self.heads(parts[0], 0, 2, 3, 1))
        logits = graph.add("Mul", logits, root)
        logits = logits if mask is None else graph.add("Add", logits, mask)
        found = graph.add("MatMul", graph.add("Softmax", logits, axis=-1), self.heads(parts[1], 0, 2, 1, 3))
        found = graph.add("Transpose", found, perm=[0, 2, 1, 3])
        return self.linear(f"{name}.mixed", graph.add("Reshape", found, graph.integers(0, -1, factors)))

    def whole(self) -> str:
        """Name of the output, shape (batch, 1, factors)."""
        graph, longest = self.graph, self.config.max_length
        positions = graph.constant("positions", self.weights["positions"])
        length = graph.add("Shape", "products", start=1, end=2)
        begin, end = graph.add("Neg", length), graph.integers(np.iinfo(np.int64).max)
        vectors = graph.add("Add", "products", graph.add("Slice", positions, begin, end, graph.integers(0)))
        if self.config.blocks > 1:
            never = np.triu(np.full((longest, longest), -1e9, dtype=np.float32), 1)
            mask = graph.constant("never", never)
            for axis in (0, 1):
                mask = graph.add("Slice", mask, begin, end, graph.integers(axis))
        for place in range(self.config.blocks):
            vectors = self.block(f"blocks.{place}", vectors, mask if place < self.config.blocks - 1 else None)
        return self.norm("norm", vectors)


def exported(weights: Weights, config: SequenceConfig) -> bytes:
    """The network as ONNX: input `products` (batch, length, factors), the vectors of the last products
    bought, 1 to max_length of them; output `next` (batch, 1, factors).

    All sequences of a batch have one length. The products' own vectors are left to the caller.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    exporter = _Exporter(weights, config)
    output = exporter.whole()
    exporter.graph.nodes.append(helper.make_node("Identity", [output], ["next"]))
    real, factors = TensorProto.FLOAT, config.factors
    graph = helper.make_graph(
        exporter.graph.nodes,
        "sequence",
        [helper.make_tensor_value_info("products", real, ["batch", "length", factors])],
        [helper.make_tensor_value_info("next", real, ["batch", 1, factors])],
        [numpy_helper.from_array(value, name) for name, value in exporter.graph.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(model)
    return bytes(model.SerializeToString())

"""The trained detector as an ONNX graph, node for node as its PyTorch module computes.

The nodes are written one by one: so they keep their BatchNormalization, carry the names of the module, and
the Reshape passes any batch size. Opset 13 and IR version 8 are read by every runtime of the last years.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from detector import SLOPE, STRIDES, ConvBlock, StreetDetector
from onnx import NodeProto, TensorProto, helper, numpy_helper
from scenes import HEIGHT, WIDTH
from torch import nn

OPSET, IR_VERSION = 13, 8


class _Graph:
    """Collects nodes and initializers; a node, its output and its parameters bear the name of a module."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op_type: str, name: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op_type, inputs, [name], name, **attributes))
        return name

    def conv(self, name: str, conv: nn.Conv2d, x: str) -> str:
        names = {key: self.constant(f"{name}.{key}", value) for key, value in conv.state_dict().items()}
        kernel, stride, pad = conv.kernel_size, conv.stride, conv.padding
        assert isinstance(pad, tuple)
        return self.node(
            "Conv", name, x, *names.values(), kernel_shape=kernel, strides=stride, pads=pad + pad
        )

    def block(self, name: str, block: ConvBlock, x: str) -> str:
        y, norm = self.conv(f"{name}.conv", block.conv, x), block.norm
        state = norm.state_dict()
        parameters = [
            self.constant(f"{name}.norm.{key}", state[key])
            for key in ("weight", "bias", "running_mean", "running_var")
        ]
        y = self.node("BatchNormalization", f"{name}.norm", y, *parameters, epsilon=norm.eps)
        y = self.node("LeakyRelu", f"{name}.act", y, alpha=SLOPE)
        return self.node("Add", f"{name}.add", x, y) if block.skip else y

    def blocks(self, name: str, blocks: nn.Sequential, x: str) -> str:
        for index, block in enumerate(blocks):
            assert isinstance(block, ConvBlock)
            x = self.block(f"{name}.{index}", block, x)
        return x

    def upsample(self, name: str, x: str) -> str:
        how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return self.node("Resize", name, x, "", "upsample_scales", **how)

    def decode(self, name: str, raw: str, stride: int) -> str:
        """See detector.decode; the cells become one axis, [N, 5, rows * columns]."""
        parts = [f"{name}.{part}" for part in ("x", "y", "size", "score")]
        self.nodes.append(helper.make_node("Split", [raw, "head_parts"], parts, f"{name}.split", axis=1))
        x, y, size, score = parts
        columns = self.constant(f"{name}.columns", np.arange(WIDTH // stride, dtype=np.float32) + 0.5)
        rows = self.constant(f"{name}.rows", np.arange(HEIGHT // stride, dtype=np.float32)[:, None] + 0.5)
        pixels = self.constant(f"{name}.stride", np.float32(stride))
        cells = [self.node("Add", f"{name}.cx", x, columns), self.node("Add", f"{name}.cy", y, rows)]
        cells.append(self.node("Exp", f"{name}.exp", size))
        box = self.node("Mul", f"{name}.box", self.node("Concat", f"{name}.cells", *cells, axis=1), pixels)
        score = self.node("Sigmoid", f"{name}.sigmoid", score)
        return self.node(
            "Reshape", f"{name}.flat", self.node("Concat", f"{name}.map", box, score, axis=1), "head_shape"
        )


def to_onnx(model: StreetDetector) -> onnx.ModelProto:
    """The graph `images` [1, 3, HEIGHT, WIDTH] -> `output0` [1, 5, cells]."""
    graph = _Graph()
    graph.constant("upsample_scales", np.array([1, 1, 2, 2], np.float32))
    graph.constant("head_parts", np.array([1, 1, 2, 1]))
    graph.constant("head_shape", np.array([0, 5, -1]))
    x = graph.block("stage4", model.stage4, graph.block("stem", model.stem, "images"))
    fine = graph.blocks("stage8", model.stage8, x)
    middle = graph.blocks("stage16", model.stage16, fine)
    coarse = graph.block("stage32", model.stage32, middle)
    middle = graph.node("Add", "merge16", middle, graph.upsample("upsample16", coarse))
    lateral = graph.upsample("upsample8", graph.block("lateral", model.lateral, middle))
    fine = graph.block("fuse", model.fuse, graph.node("Add", "merge8", fine, lateral))
    levels = []
    for features, head, stride in zip((fine, middle, coarse), model.heads, STRIDES, strict=True):
        assert isinstance(head, nn.Conv2d)
        levels.append(graph.decode(f"head{stride}", graph.conv(f"head{stride}.conv", head, features), stride))
    graph.node("Concat", "output0", *levels, axis=2)

    cells = sum((HEIGHT // stride) * (WIDTH // stride) for stride in STRIDES)
    proto = helper.make_graph(
        graph.nodes,
        "street",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 5, cells])],
        graph.initializers,
    )
    exported = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    exported.producer_name = "onnxbin examples/street"
    helper.set_model_props(exported, {"names": "{0: 'person'}", "task": "detect"})
    onnx.checker.check_model(exported, full_check=True)
    return exported


def write_onnx(model: StreetDetector, path: Path) -> None:
    """Write the detector's graph to `path`."""
    onnx.save(to_onnx(model), path)

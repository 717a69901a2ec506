"""A residual network for the crops, as an ONNX graph with random weights: ResNet-18 in small.

A stem, three stages of two residual blocks (four 3x3 convolutions), a linear classifier (He et al., arXiv
1512.03385). There are no batch norms: the last convolution of each block begins small instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from crops import CLASSES, SIZE
from onnx import ModelProto, TensorProto, helper

WIDTHS = (16, 32, 64)
BLOCKS = 2


def classifier(seed: int) -> ModelProto:
    """The graph: `image` [1, 3, SIZE, SIZE], RGB, 0 to 1, to `scores` [1, classes] before the softmax."""
    graph = _Graph(seed)
    x = graph.relu(graph.conv("stem", "image", 3, WIDTHS[0], stride=2))
    channels = WIDTHS[0]
    for stage, width in enumerate(WIDTHS):
        for block in range(BLOCKS):
            name, stride = f"stage{stage}.block{block}", 2 if stage and not block else 1
            y = graph.relu(graph.conv(f"{name}.conv0", x, channels, width, stride=stride))
            y = graph.conv(f"{name}.conv1", y, width, width, gain=0.2)
            if stride > 1:
                x = graph.conv(f"{name}.shortcut", x, channels, width, kernel=1, stride=stride)
            x = graph.relu(graph.node("Add", f"{name}.sum", [x, y]))
            channels = width
    x = graph.node("Flatten", "flat", [graph.node("GlobalAveragePool", "pooled", [x])])
    weight = graph.weight("classifier.weight", (len(CLASSES), channels), channels**-0.5)
    bias = graph.weight("classifier.bias", (len(CLASSES),), 0)
    graph.node("Gemm", "scores", [x, weight, bias], transB=1)
    return graph.model()


class _Graph:
    """Collects nodes and weights."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(self, op: str, output: str, inputs: Sequence[str], **attributes: object) -> str:
        self._nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output

    def weight(self, name: str, shape: tuple[int, ...], deviation: float) -> str:
        value: npt.NDArray[np.float32] = self._rng.normal(0, deviation, shape).astype(np.float32)
        self._weights.append(onnx.numpy_helper.from_array(value, name))
        return name

    def conv(
        self,
        name: str,
        x: str,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        gain: float = 1.0,
    ) -> str:
        deviation = gain * (2 / (inputs * kernel * kernel)) ** 0.5
        weight = self.weight(f"{name}.weight", (outputs, inputs, kernel, kernel), deviation)
        bias = self.weight(f"{name}.bias", (outputs,), 0)
        pads = [kernel // 2] * 4
        return self.node("Conv", name, [x, weight, bias], strides=[stride, stride], pads=pads)

    def relu(self, x: str) -> str:
        return self.node("Relu", f"{x}.relu", [x])

    def model(self) -> ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "classifier",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, SIZE, SIZE))],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, len(CLASSES)))],
            self._weights,
        )
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])

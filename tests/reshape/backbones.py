"""The backbones of the paper as ONNX graphs with random weights, and blocks of others."""

import numpy as np
import onnx
from onnx import TensorProto, helper


class Graph:
    """Nodes and initializers, one layer after another; every method returns its output tensor's name."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)

    def node(self, op, inputs, count=1, **attributes):
        names = [f"{op.lower()}{len(self.nodes)}.{i}" for i in range(count)]
        self.nodes.append(helper.make_node(op, inputs, names, f"node{len(self.nodes)}", **attributes))
        return names[0] if count == 1 else names

    def constant(self, value, dtype=np.float32):
        name = f"constant{len(self.initializers)}"
        self.initializers.append(onnx.numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def conv(self, x, shape, stride=1, group=1, bias=True):
        fan_in = np.prod(shape[1:])
        inputs = [x, self.constant(self._rng.normal(0, fan_in**-0.5, shape))]
        if bias:
            inputs.append(self.constant(self._rng.normal(0, 0.1, shape[0])))
        pads = [shape[2] // 2] * 4
        return self.node("Conv", inputs, pads=pads, strides=[stride, stride], group=group)

    def conv_relu(self, x, shape, stride=1, group=1):
        return self.node("Relu", [self.conv(x, shape, stride, group)])

    def pool(self, x, kernel=2):
        pads = [kernel // 2 if kernel % 2 else 0] * 4
        return self.node("MaxPool", [x], kernel_shape=[kernel, kernel], strides=[2, 2], pads=pads)

    def classifier(self, x, channels, classes=10):
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        weight = self.constant(self._rng.normal(0, channels**-0.5, (classes, channels)))
        return self.node("Gemm", [x, weight, self.constant(np.zeros(classes))], transB=1)

    def model(self, output, size=32, opset=13):
        self.nodes.append(helper.make_node("Identity", [output], ["y"], "end"))
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, size, size))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            self.initializers,
        )
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])
        return onnx.shape_inference.infer_shapes(model)


def resnet(widths=(64, 128, 256, 512), blocks=2, size=224, classes=10):
    """ResNet-18 (He et al., arXiv 1512.03385, table 1), batch norms folded."""
    graph = Graph()
    x = graph.conv_relu("x", (widths[0], 3, 7, 7), 2)
    x = graph.pool(x, 3)
    channels = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = graph.conv_relu(x, (width, channels, 3, 3), stride)
            y = graph.conv(y, (width, width, 3, 3))
            if stride == 2:
                x = graph.conv(x, (width, channels, 1, 1), 2)
            x = graph.node("Relu", [graph.node("Add", [x, y])])
            channels = width
    return graph.model(graph.classifier(x, channels, classes), size)


def vgg(widths=(64, 128, (256, 256), (512, 512), (512, 512)), size=32):
    """VGG-11 (Simonyan, Zisserman, arXiv 1409.1556, configuration A) without its hidden dense layers."""
    graph = Graph()
    x, channels = "x", 3
    for stage in widths:
        for width in stage if isinstance(stage, tuple) else (stage,):
            x = graph.conv_relu(x, (width, channels, 3, 3))
            channels = width
        x = graph.pool(x)
    return graph.model(graph.classifier(x, channels), size)


def darknet_csp(width=16, bottlenecks=2, shortcut=True):
    """A stage of YOLOv8: a strided convolution, then C2f with its bottlenecks, then a head."""
    graph = Graph()
    x = graph.conv_relu("x", (width, 3, 3, 3), 2)
    x = graph.conv_relu(x, (2 * width, width, 3, 3), 2)
    x = graph.conv_relu(x, (2 * width, 2 * width, 1, 1))
    parts = graph.node("Split", [x, graph.constant([width, width], np.int64)], 2, axis=1)
    for _ in range(bottlenecks):
        y = graph.conv_relu(parts[-1], (width, width, 3, 3))
        y = graph.conv_relu(y, (width, width, 3, 3))
        parts = [*parts, graph.node("Add", [parts[-1], y]) if shortcut else y]
    x = graph.node("Concat", parts, axis=1)
    x = graph.conv_relu(x, (3 * width, (2 + bottlenecks) * width, 1, 1))
    return graph.model(graph.conv(x, (5, 3 * width, 1, 1)))

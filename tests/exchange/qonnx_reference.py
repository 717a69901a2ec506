"""QONNX's own executor, and small networks in its ops."""

import graphs
import numpy as np
import onnx
import pytest
from onnx import helper

DOMAIN = "qonnx.custom_op.general"


def execute(monkeypatch, proto, x):
    """The first output of a model by the executor of the package qonnx; skips where it is not installed."""
    wrapper = pytest.importorskip("qonnx.core.modelwrapper", reason="qonnx is not installed")
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    # It runs each node in ONNX Runtime as a model of the newest IR version, which may be too new for that.
    monkeypatch.setattr(onnx, "IR_VERSION", 10)
    model = wrapper.ModelWrapper(proto).transform(InferShapes())
    return execute_onnx(model, {model.graph.input[0].name: x})[model.graph.output[0].name]


class Network:
    """Builds a network of quantised convolutions, node by node, on an input `x` of 3 channels."""

    def __init__(self, seed=0, domain=DOMAIN):
        self.rng = np.random.default_rng(seed)
        self.domain = domain
        self.nodes, self.tensors = [], []
        self.last, self.channels = "x", 3

    def constant(self, value):
        self.tensors.append(graphs.tensor(f"k{len(self.tensors)}", value))
        return self.tensors[-1].name

    def node(self, op, *inputs, domain=None, **attributes):
        output = f"t{len(self.nodes)}"
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name, domain=domain, **attributes))
        return output

    def bipolar(self, x, scale):
        return self.node("BipolarQuant", x, self.constant(scale), domain=self.domain)

    def quant(self, x, scale, zero, bits, **attributes):
        attributes = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND", **attributes}
        constants = [self.constant(value) for value in (scale, zero, bits)]
        return self.node("Quant", x, *constants, domain=self.domain, **attributes)

    def weight(self, outputs, kernel=3, group=1):
        return self.constant(self.rng.normal(size=(outputs, self.channels // group, kernel, kernel)))

    def conv(self, outputs, weight, bias=False, **attributes):
        inputs = [self.last, weight]
        if bias:
            inputs.append(self.constant(self.rng.normal(size=outputs)))
        self.last = self.node("Conv", *inputs, **{"pads": [1, 1, 1, 1], **attributes})
        self.channels = outputs

    def norm(self):
        c = self.channels
        statistics = [
            self.rng.uniform(0.5, 2, c),
            self.rng.normal(size=c),
            self.rng.normal(size=c),
            self.rng.uniform(0.5, 2, c),
        ]
        self.last = self.node("BatchNormalization", self.last, *map(self.constant, statistics))

    def model(self, opset=13, ir_version=8):
        self.nodes[-1].output[0] = "y"
        proto = graphs.model(self.nodes, self.tensors, shape=(2, 3, 9, 9), opset=opset, ir_version=ir_version)
        if any(node.domain for node in self.nodes):
            proto.opset_import.append(helper.make_opsetid(self.domain, 1))
        return proto


def image(seed=1):
    return np.random.default_rng(seed).normal(size=(2, 3, 9, 9)).astype(np.float32)

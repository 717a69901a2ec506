"""A compressed model as a file for QONNX users: FINN, hls4ml, QONNX's own tools.

Each node of our family becomes a Conv with its weight behind a BipolarQuant, one for each base, and its
input, where that is quantised, behind a BipolarQuant or a Quant. QONNX keeps weights in float tensors, so all
of them are floats here: the file is as large as the original's. A Quant rounds half to even and divides by
the step, a BinaryConvQuant rounds half up and multiplies by the inverse: values exactly between two steps may
differ.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs
from onnx import ModelProto

from onnxbin.constants import with_stored_weights
from onnxbin.errors import OnnxbinError
from onnxbin.exchange.qonnx_ops import DOMAIN
from onnxbin.fusion import unfused
from onnxbin.operator import DOMAIN as OWN_DOMAIN
from onnxbin.operator import QuantInput, SignInput
from onnxbin.surgery import BinaryLayer, TensorNames, binary_layers, exported, imported, layer_names

VERSION = 1


def to_qonnx(proto: ModelProto) -> ModelProto:
    """The model with its binary layers in the ops of QONNX. Raises OnnxbinError where it has none."""
    proto = unfused(proto)
    layers = binary_layers(proto)
    if not layers:
        raise OnnxbinError("the model has no binary layer, so there is nothing to say in QONNX's ops")
    names = layer_names(proto)
    graph = imported(proto)
    tensors = TensorNames(graph)
    for node in [node for node in graph.nodes if node.domain == OWN_DOMAIN]:
        _Writer(graph, tensors, node).write(layers[names[node.outputs[0].name]])
    graph.cleanup(remove_unused_graph_inputs=False)
    model = exported(graph, proto)
    del model.functions[:]
    kept = [entry for entry in model.opset_import if entry.domain != OWN_DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend([*kept, onnx.helper.make_opsetid(DOMAIN, VERSION)])
    return with_stored_weights(model)


class _Writer:
    """Turns one node into a Conv between quantisers."""

    def __init__(self, graph: gs.Graph, names: TensorNames, node: gs.Node) -> None:
        self._graph = graph
        self._names = names
        self._node = node
        self._base = node.inputs[1].name

    def write(self, layer: BinaryLayer) -> None:
        node = self._node
        weights = [
            self._bipolar(self._constant("signs", np.where(scale < 0, -signs, signs)), np.abs(scale))
            for signs, scale in zip(
                layer.weight.signs, layer.weight.scale[:, :, None, None, None], strict=True
            )
        ]
        weight = weights[0]
        for other in weights[1:]:
            weight = self._add("Add", None, [weight, other])
        node.inputs = [self._input(layer.quantizer), weight]
        if layer.bias.any():
            node.inputs.append(self._constant("bias", layer.bias))
        node.op, node.domain = "Conv", None
        node.attrs = {
            "kernel_shape": list(layer.weight.shape[2:]),
            **{
                name: node.attrs[name]
                for name in ("strides", "pads", "dilations", "group")
                if name in node.attrs
            },
        }

    def _input(self, quantizer: SignInput | QuantInput | None) -> gs.Tensor:
        x: gs.Tensor = self._node.inputs[0]
        if isinstance(quantizer, SignInput):
            if quantizer.zero.any():
                x = self._add("Sub", None, [x, self._constant("zero", quantizer.zero.reshape(1, -1, 1, 1))])
            return self._bipolar(x, quantizer.step)
        if isinstance(quantizer, QuantInput):
            parameters = (quantizer.step, quantizer.zero, np.asarray(quantizer.bits, np.float32))
            constants = [self._constant("quant", value) for value in parameters]
            return self._add("Quant", DOMAIN, [x, *constants], signed=0, narrow=0, rounding_mode="ROUND")
        return x

    def _bipolar(self, x: gs.Tensor, scale: npt.NDArray[np.float32]) -> gs.Tensor:
        return self._add("BipolarQuant", DOMAIN, [x, self._constant("scale", scale)])

    def _constant(self, slot: str, value: npt.NDArray[np.float32]) -> gs.Constant:
        return gs.Constant(self._names.fresh(f"{self._base}.{slot}"), np.asarray(value, np.float32))

    def _add(self, op: str, domain: str | None, inputs: list[gs.Tensor], **attributes: object) -> gs.Tensor:
        output = gs.Variable(self._names.fresh(f"{self._base}.{op}"), np.float32)
        name = self._names.fresh(f"{self._node.name}.{op}")
        self._graph.nodes.append(
            gs.Node(op, name, attributes, inputs=inputs, outputs=[output], domain=domain)
        )
        return output

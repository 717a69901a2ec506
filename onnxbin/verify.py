"""A binary node, computed in every way a user may meet it, must give one answer.

The node's kernel in the operator library, its function body in a stock runtime and the PyTorch module that
was trained get the same input, a patch of what the layer really sees, and are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto

from onnxbin.agreement import run, with_outputs
from onnxbin.errors import OnnxbinError
from onnxbin.images import ImageSet
from onnxbin.layers import ConvLayer
from onnxbin.operator import session, stock_session
from onnxbin.surgery import BinaryLayer, with_binary_layers

Float32 = npt.NDArray[np.float32]

TOLERANCE = 1e-5
"""Largest difference of two ways, relative to the largest output: they differ in the order of sums only."""

CANCELLATION = 1e-2
"""Rounding grows with the sum of |weight| |input|; where outputs are smaller than this share of it, the terms
have cancelled, and the share is what a difference is measured by."""

_INPUT, _OUTPUT = "onnxbin.verify.x", "onnxbin.verify.y"
_PATCH = 32  # pixels a side: any patch exercises the node as the whole does, and is faster


class Verifier:
    """Checks the nodes that replace the given layers of a prepared model.

    images: where the inputs come from; the first one is used.
    """

    def __init__(self, prepared: ModelProto, layers: Sequence[ConvLayer], images: ImageSet) -> None:
        self._prepared = prepared
        producers = {node.output[0]: node for node in prepared.graph.node if node.output}
        self._nodes = {layer.name: producers[layer.output] for layer in layers}
        self._inputs = self._capture(images)

    def check(
        self,
        layer: ConvLayer,
        binary: BinaryLayer,
        run_layer: Callable[[str, Float32], Float32 | None],
    ) -> float:
        """The largest relative difference of kernel and PyTorch module from the function body.

        run_layer: gives the module's output for a layer's name and input, or None where there is no module.
        Raises OnnxbinError where the difference exceeds TOLERANCE.
        """
        x = self._inputs[layer.name]
        alone = with_binary_layers(self._alone(layer.name), {layer.name: binary})
        function = run(stock_session(alone), [_OUTPUT], {_INPUT: x})[0]
        others = {
            "kernel": run(session(alone.SerializeToString()), [_OUTPUT], {_INPUT: x})[0],
            "PyTorch module": run_layer(layer.name, x),
        }
        seen = x if binary.quantizer is None else binary.quantizer(x)
        terms = float(np.abs(binary.weight.dense()).sum(axis=(1, 2, 3)).max() * np.abs(seen).max())
        scale = max(float(np.abs(function).max()), CANCELLATION * terms, float(np.finfo(np.float32).tiny))
        worst = 0.0
        for way, found in others.items():
            difference = float(np.abs(found - function).max()) / scale if found is not None else 0.0
            if not difference <= TOLERANCE:
                raise OnnxbinError(
                    f"node {layer.name!r}: its {way} differs from its function by {difference:.1e} of the "
                    f"largest output, expected at most {TOLERANCE:.0e}: please report this as a defect"
                )
            worst = max(worst, difference)
        return worst

    def _capture(self, images: ImageSet) -> dict[str, Float32]:
        """A patch from the middle of each layer's input, for one image through the prepared model."""
        names = {layer: node.input[0] for layer, node in self._nodes.items()}
        wanted = sorted(set(names.values()))
        if not wanted:  # of no names, ONNX Runtime gives all outputs
            return {}
        runtime = stock_session(with_outputs(self._prepared, wanted))
        found = run(runtime, wanted, images.target.feed([images.tensor(0)]))
        patches = {
            name: np.ascontiguousarray(_middle(value)) for name, value in zip(wanted, found, strict=True)
        }
        return {layer: patches[name] for layer, name in names.items()}

    def _alone(self, name: str) -> ModelProto:
        """The Conv node as a model of its own; its ports get names that nothing else has by chance."""
        node = self._nodes[name]
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.name, copy.input[0], copy.output[0] = name, _INPUT, _OUTPUT
        ports = [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list("nchw"))
            for name in (_INPUT, _OUTPUT)
        ]
        constants = [tensor for tensor in self._prepared.graph.initializer if tensor.name in node.input[1:]]
        graph = onnx.helper.make_graph([copy], "node", ports[:1], ports[1:], constants)
        return onnx.helper.make_model(
            graph, ir_version=self._prepared.ir_version, opset_imports=self._prepared.opset_import
        )


def _middle(x: Float32) -> Float32:
    top, left = (max(0, (size - _PATCH) // 2) for size in x.shape[2:])
    return x[:1, :, top : top + _PATCH, left : left + _PATCH]

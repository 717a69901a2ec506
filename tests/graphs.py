"""Small ONNX models for tests, built node by node."""

import numpy as np
import onnx
from onnx import TensorProto, helper


def tensor(name, value):
    return onnx.numpy_helper.from_array(np.asarray(value, np.float32), name)


def model(nodes, initializers, *, shape=(1, 3, 16, 16), outputs=("y",), opset=13, ir_version=7, **fields):
    """A model with one float input `x` of the given shape and outputs of unstated size."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list("nchw")) for name in outputs],
        initializers,
    )
    return helper.make_model(
        graph, ir_version=ir_version, opset_imports=[helper.make_opsetid("", opset)], **fields
    )


def chain(widths, *, kernel=3, seed=0, **arguments):
    """Convs one after another with Relu in between: c0 .. cn, the first on 3 channels, bias on each."""
    rng = np.random.default_rng(seed)
    nodes, initializers = [], []
    previous, channels = "x", 3
    for i, width in enumerate(widths):
        last = i == len(widths) - 1
        scale = (channels * kernel * kernel) ** -0.5
        initializers += [
            tensor(f"w{i}", rng.normal(0, scale, (width, channels, kernel, kernel))),
            tensor(f"b{i}", rng.normal(0, 0.1, width)),
        ]
        pads = [kernel // 2] * 4
        nodes.append(
            helper.make_node(
                "Conv", [previous, f"w{i}", f"b{i}"], ["y" if last else f"t{i}"], f"c{i}", pads=pads
            )
        )
        if not last:
            nodes.append(helper.make_node("Relu", [f"t{i}"], [f"r{i}"], f"relu{i}"))
        previous, channels = f"r{i}", width
    return model(nodes, initializers, **arguments)

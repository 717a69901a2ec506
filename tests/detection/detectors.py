"""Small ONNX detectors whose answers are known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxbin.images import METADATA_KEY, Preprocessing

LETTERBOX = Preprocessing("letterbox")


def constant(
    outputs: dict[str, np.ndarray],
    size: tuple[int | str, int | str] = (64, 96),
    nodes: Sequence[onnx.NodeProto] = (),
    shapes: dict[str, list[Any]] | None = None,
    metadata: dict[str, str] | None = None,
    preprocessing: Preprocessing = LETTERBOX,
) -> onnx.ModelProto:
    """A model with image input `x` that gives these float outputs, whatever it sees.

    nodes: more of them, for what recognition looks at. shapes: what the graph declares of an output, by
    default its actual shape. preprocessing: what the model's metadata records.
    """
    copies = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs]
    graph = helper.make_graph(
        [*nodes, *copies],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *size])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, (shapes or {}).get(name, value.shape))
            for name, value in outputs.items()
        ],
        [
            numpy_helper.from_array(value.astype(np.float32), f"{name}_value")
            for name, value in outputs.items()
        ],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    helper.set_model_props(model, {METADATA_KEY: preprocessing.to_json(), **(metadata or {})})
    return model


def yolov8(rows: Sequence[Sequence[float]], classes: int = 1, **arguments: Any) -> onnx.ModelProto:
    """A v8 detector of 64 x 96 pixels that sees `rows` of cx, cy, w, h, class, score in every image."""
    cells = 8 * 12 + 4 * 6 + 2 * 3
    output = np.zeros((1, 4 + classes, cells))
    for i, (cx, cy, w, h, kind, score) in enumerate(rows):
        output[0, :4, i] = cx, cy, w, h
        output[0, 4 + int(kind), i] = score
    return constant({"output0": output}, **arguments)

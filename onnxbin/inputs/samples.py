"""Values of the inputs of layers: what the network makes of some images, at places drawn at random."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from onnxbin.agreement import run, with_outputs
from onnxbin.images import ImageSet
from onnxbin.operator import stock_session
from onnxbin.processes import Processes

Float32 = npt.NDArray[np.float32]

IMAGES, PLACES = 32, 128
"""How many images are looked at, at most, and at how many places of each."""


def input_samples(
    model: ModelProto, outputs: Mapping[str, str], images: ImageSet, processes: Processes
) -> dict[str, Float32]:
    """Values [n, C] of the input of each layer, n the same for all.

    outputs: the output tensor of each layer, by the layer's name. Always the same for the same model and
    images. Raises OnnxbinError where the model fails on an image.
    """
    producers = {node.output[0]: node for node in model.graph.node if node.output}
    tensors = {layer: producers[output].input[0] for layer, output in outputs.items()}
    names = sorted(set(tensors.values()))
    session = stock_session(with_outputs(model, names))

    def look(index: int) -> list[Float32]:
        found = run(session, names, images.target.feed([images.tensor(index)]))
        return [_at_places(value, np.random.default_rng(index)) for value in found]

    looks = processes.map(look, range(min(len(images), IMAGES)))
    values = {name: np.concatenate(each) for name, each in zip(names, zip(*looks, strict=True), strict=True)}
    return {layer: values[name] for layer, name in tensors.items()}


def _at_places(value: Float32, rng: np.random.Generator) -> Float32:
    """[PLACES, C] of [1, C, H, W]; a place may be drawn more than once."""
    columns = value[0].reshape(value.shape[1], -1)
    return np.ascontiguousarray(columns[:, rng.integers(0, columns.shape[1], PLACES)].T)

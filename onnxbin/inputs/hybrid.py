"""Which layers keep real inputs, and whose become binary: the method of Hybrid Binary Networks.

Prabhu, Batchu, Gajawada, Munagala, Namboodiri: "Hybrid Binary Networks: Optimizing for Accuracy, Efficiency
and Memory", WACV 2018 (arXiv 1804.03867), section 3:

1. On the binarized network, each layer's error of binarizing its input, E = sqrt(mean (sign(x) - x)^2). Their
   inputs come out of batch normalization; ours are brought to mean 0 and variance 1 channel by channel first.
2. M = E + gamma / NF, NF the layer's multiply-accumulates in millions: a large error, or little to win, speak
   for a real input. (gamma 25: the scores that they plot for ResNet-18 fit 15.3 E + 377 / NF - 5.5.)
3. The scores are split into two groups by clustering; the group of high scores keeps real inputs. In one
   dimension the best two clusters (least sum of squared distances to their means) are found exactly: they are
   the two sides of one of the gaps between the scores in order.
4. The last layers, with no convolution behind them, keep real inputs in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxbin.errors import OnnxbinError
from onnxbin.inputs.calibration import Float32
from onnxbin.inputs.network import BinaryNetwork
from onnxbin.layers import binary_inventory
from onnxbin.plan import Plan
from onnxbin.processes import Alone
from onnxbin.run_images import RunImages
from onnxbin.settings import Settings
from onnxbin.surgery import binary_layers
from onnxbin.trainer import closed_form


@dataclass(frozen=True)
class Choice:
    """What the method says of one layer.

    error: E. macs: NF, in single ones. score: M. high: whether the score is in the high group. last: no
    convolution is behind the layer.
    """

    layer: str
    error: float
    macs: int
    score: float
    high: bool
    last: bool

    @property
    def bits(self) -> int | None:
        """The width of its input; None for a real one."""
        return None if self.high or self.last else 1


def hybrid(network: BinaryNetwork, gamma: float) -> list[Choice]:
    """What the method says of each binary layer, in the graph's order.

    Raises OnnxbinError where the network's input size, and so NF, is not known.
    """
    found = []
    for layer in network.layers:
        if not layer.macs:
            raise OnnxbinError(
                f"layer {layer.name!r}: its size is not known, for the model leaves that of its input open; "
                "give --input-size"
            )
        error = binarization_error(network.samples[layer.name])
        found.append((layer, layer.macs, error, error + gamma / (layer.macs / 1e6)))
    group = high_group([score for *_, score in found])
    return [
        Choice(layer.name, error, macs, score, high, layer.last)
        for (layer, macs, error, score), high in zip(found, group, strict=True)
    ]


def score_inputs(plan: Plan, settings: Settings) -> list[Choice]:
    """The scores of a model's layers, before any run: of its binary layers, where it has any.

    Else all that can be binary are taken to be, in closed form. settings: images and gamma of them. Raises
    OnnxbinError where there are no layers, or the images cannot be read.
    """
    binary = binary_layers(plan.original.proto)
    if binary:
        model = plan.original.proto
        layers = binary_inventory(model, input_size=settings.input_size)
    else:
        values = {tensor.name: tensor for tensor in plan.prepared.graph.initializer}
        layers = [layer for layer in plan.layers if layer.left_alone is None]
        binary = {layer.name: closed_form(layer, values, settings.fewest_bases) for layer in layers}
        model = plan.build_unfused({}, binary)
    if not layers:
        raise OnnxbinError(f"{plan.original.path}: has no layer that is or can be binary")
    images = RunImages(plan, settings, lambda _: None).training
    return hybrid(BinaryNetwork(model, binary, layers, images, Alone()), settings.gamma)


def binarization_error(samples: Float32) -> float:
    """E of an input, from values [n, C] of it. Channels that do not vary count as zero: a bias has them."""
    x = samples.astype(np.float64)
    deviation = x.std(axis=0)
    varying = deviation > 1e-6 * max(float(deviation.max()), np.finfo(np.float64).tiny)
    z = (x[:, varying] - x[:, varying].mean(axis=0)) / deviation[varying]
    return float(np.sqrt(np.square(np.where(z >= 0, 1, -1) - z).sum() / x.size))


def high_group(scores: Sequence[float]) -> list[bool]:
    """Which of the scores are in the higher of the best two clusters; none where all are equal."""
    x = np.sort(np.asarray(scores, np.float64))
    splits = [k for k in range(1, len(x)) if x[k] > x[k - 1]]
    if not splits:
        return [False] * len(x)
    best = min(splits, key=lambda k: x[:k].var() * k + x[k:].var() * (len(x) - k))
    return [bool(score >= x[best]) for score in scores]

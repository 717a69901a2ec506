"""YOLOv2, v3 and v4: raw maps of boxes relative to anchors.

    centre = (sigmoid(t) * scale - (scale - 1) / 2 + cell) / cells a side
    size   = exp(t) * anchor, in pixels of the input
    score  = sigmoid(objectness) * class probability

The anchors are not in the graph. Those of the published configurations (Darknet's cfg files) are here by
name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxbin.detection.boxes import cells, from_centres, sigmoid
from onnxbin.detection.detections import Candidates, Float32
from onnxbin.images import ImageInput
from onnxbin.images.outline import Outline
from onnxbin.images.profiles import is_yolov4

Anchors = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class AnchorConfig:
    """What a configuration file says of the decoding.

    anchors: by stride, width and height in pixels of the input. scale: by stride, how far a centre may leave
    its cell.
    softmax: classes exclude each other (v2).
    """

    anchors: dict[int, Anchors]
    scale: dict[int, float] | None = None
    softmax: bool = False


def _cells_to_pixels(*anchors: tuple[float, float]) -> dict[int, Anchors]:
    """YOLOv2 gives its anchors in cells of stride 32."""
    return {32: tuple((32 * width, 32 * height) for width, height in anchors)}


_TINY = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))

CONFIGS = {
    "yolov2-tiny-voc": AnchorConfig(
        _cells_to_pixels((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52)),
        softmax=True,
    ),
    "yolov2-voc": AnchorConfig(
        _cells_to_pixels(
            (1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892), (9.47112, 4.84053), (11.2364, 10.0071)
        ),
        softmax=True,
    ),
    "yolov2": AnchorConfig(
        _cells_to_pixels(
            (0.57273, 0.677385),
            (1.87446, 2.06253),
            (3.33843, 5.47434),
            (7.88282, 3.52778),
            (9.77052, 9.16828),
        ),
        softmax=True,
    ),
    "yolov3-tiny": AnchorConfig({32: _TINY[3:], 16: _TINY[:3]}),
    "yolov3": AnchorConfig(
        {
            32: ((116, 90), (156, 198), (373, 326)),
            16: ((30, 61), (62, 45), (59, 119)),
            8: ((10, 13), (16, 30), (33, 23)),
        }
    ),
    # Darknet's file has scale 1.05, at most a fortieth of a cell; trainers in PyTorch have none.
    "yolov4-tiny": AnchorConfig({32: _TINY[3:], 16: _TINY[1:4]}),
    "yolov4": AnchorConfig(
        {
            32: ((142, 110), (192, 243), (459, 401)),
            16: ((36, 75), (76, 55), (72, 146)),
            8: ((12, 16), (19, 36), (40, 28)),
        },
        scale={32: 1.05, 16: 1.1, 8: 1.2},
    ),
}
"""The published configurations, by name."""


class AnchorMaps:
    """For each stride, in any order: [1, anchors * (5 + classes), rows, columns]."""

    def __init__(self, target: ImageInput, config: AnchorConfig) -> None:
        self._target = target
        self._config = config

    def __call__(self, outputs: list[Float32]) -> Candidates:
        """Decode the outputs of one image."""
        parts = [self._decode(output[0]) for output in outputs]
        return Candidates(
            np.concatenate([boxes for boxes, _ in parts]), np.concatenate([scores for _, scores in parts])
        )

    def _decode(self, output: Float32) -> tuple[Float32, Float32]:
        rows, columns = output.shape[1:]
        stride = self._target.height // rows
        anchors = np.array(self._config.anchors[stride], np.float32)
        table = output.reshape(len(anchors), -1, rows * columns).transpose(0, 2, 1)
        scale = np.float32((self._config.scale or {}).get(stride, 1.0))
        centre = (sigmoid(table[..., :2]) * scale - (scale - 1) / 2 + cells(rows, columns)) * np.float32(
            stride
        )
        with np.errstate(over="ignore"):
            size = np.exp(table[..., 2:4]) * anchors[:, None]
        boxes = from_centres(np.concatenate([centre, size], axis=-1).reshape(-1, 4))
        classes = _softmax(table[..., 5:]) if self._config.softmax else sigmoid(table[..., 5:])
        scores = sigmoid(table[..., 4:5]) * classes
        return boxes, scores.reshape(len(boxes), -1)


def of_outline(outline: Outline, config: AnchorConfig) -> AnchorMaps:
    """The decoder for a model with this configuration."""
    return AnchorMaps(outline.input, config)


def _softmax(logits: Float32) -> Float32:
    weight = np.exp(logits - logits.max(-1, keepdims=True))
    share: Float32 = weight / weight.sum(-1, keepdims=True)
    return share


def recognise(outline: Outline) -> AnchorMaps | None:
    """The tiny detectors with two maps, and Darknet's YOLOv3 and v4 with three.

    YOLOv2 is not recognised: nothing in the graph tells its three sets of anchors apart.
    """
    name = _config_name(outline)
    return of_outline(outline, CONFIGS[name]) if name else None


def _config_name(outline: Outline) -> str | None:
    if is_yolov4(outline):
        # Only v4's tiny backbone divides its channels in two; v3's is a plain chain.
        return "yolov4-tiny" if outline.operators & {"Split", "Slice"} else "yolov3-tiny"
    grids = sorted(shape[2:] for shape in outline.outputs if len(shape) == 4)
    expected = [(outline.input.height // stride, outline.input.width // stride) for stride in (32, 16, 8)]
    channels = {shape[1] for shape in outline.outputs if len(shape) == 4}
    if len(outline.outputs) != 3 or grids != expected or len(channels) != 1 or any(c % 3 for c in channels):
        return None
    # Exporters of YOLOv5 and v7 write raw maps with five axes, and their activation is Sigmoid * Mul.
    if outline.operators & {"Mish", "Softplus"}:
        return "yolov4"
    return "yolov3" if "LeakyRelu" in outline.operators else None

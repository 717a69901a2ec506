"""Which preprocessing a model expects: recorded in it, recognised from its graph, named, or given.

Wrong preprocessing is a silent wrong answer, so a graph is recognised only by marks that no family with
another preprocessing is known to share; each rule says why it is safe. Everything else falls back with a
warning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx

from onnxbin.errors import OnnxbinError
from onnxbin.images.model_input import ImageInput
from onnxbin.images.preprocess import METADATA_KEY, Channels, Preprocessing, Resize

_IMAGENET_BGR = {"channels": "bgr", "mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395)}

PROFILES: dict[str, Preprocessing] = {
    # Darknet's default at inference is a plain resize (letter_box=0), AlexeyAB/darknet.
    "yolov4": Preprocessing(),
    # TensorFlow object detection API: pixels to about [-1, 1].
    "ssd-mobilenet": Preprocessing(mean=(128.0, 128.0, 128.0), std=(128.0, 128.0, 128.0)),
    # Ultralytics, and YOLOv5/v7/v9/v10/v11 alike.
    "yolov8": Preprocessing(resize="letterbox"),
    # YOLOX since 0.1.1: raw BGR pixels.
    "yolox": Preprocessing(resize="letterbox-top-left", channels="bgr", std=(1.0, 1.0, 1.0)),
    "nanodet": Preprocessing(resize="letterbox", pad=0, **_IMAGENET_BGR),  # type: ignore[arg-type]
    "fastestdet": Preprocessing(channels="bgr"),
}
"""The preprocessing of families of detectors, by name."""


@dataclass(frozen=True)
class Choice:
    """A preprocessing, where it comes from, and what the user should be told about it, if anything."""

    preprocessing: Preprocessing
    origin: str
    warning: str | None = None


def choose(
    model: onnx.ModelProto,
    *,
    profile: str | None = None,
    resize: Resize | None = None,
    channels: Channels | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
) -> Choice:
    """The preprocessing for `model`.

    profile: a name in PROFILES, instead of what `recognise` finds. resize, channels, mean, std: replace that
    part. Last resort for a model that nothing is known of: RGB in [0, 1], plain resize, with a warning.
    Raises OnnxbinError on an unknown profile or value.
    """
    found: tuple[str, Preprocessing] | None
    if profile is None:
        found = recognise(model)
    elif profile in PROFILES:
        found = profile, PROFILES[profile]
    else:
        raise OnnxbinError(f"no preprocessing profile '{profile}'; there are {', '.join(PROFILES)}")
    origin, base = found or ("assumed", Preprocessing())
    if found is None and _dtype(model) == "uint8":
        # A model that takes bytes scales them itself.
        base = replace(base, std=(1.0, 1.0, 1.0))
    given = {"resize": resize, "channels": channels, "mean": mean, "std": std}
    parts = {name: value for name, value in given.items() if value is not None}
    chosen = replace(base, **parts)  # type: ignore[arg-type]
    warning = None
    if found is None and mean is None and std is None:
        scale = "0..255" if chosen.std[0] == 1 else "[0, 1]"
        warning = (
            f"nothing says which images this model was trained on: assuming {chosen.channels.upper()} "
            f"in {scale}, resized by {chosen.resize}; if that is wrong, so is everything measured: "
            "name a profile or give mean, std, resize and channel order"
        )
    return Choice(chosen, " + ".join([origin, *parts]), warning)


def recognise(model: onnx.ModelProto) -> tuple[str, Preprocessing] | None:
    """The preprocessing recorded in `model` or that of the family its graph belongs to, with its name, else
    None.

    The name is "recorded" or one of PROFILES. Raises OnnxbinError on a record that cannot be read.
    """
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            return "recorded", Preprocessing.from_json(entry.value)
    family = recognise_family(model)
    # The profiles are for models that take scaled floats; one that takes bytes scales them itself.
    if family is None or _dtype(model) == "uint8":
        return None
    return family, PROFILES[family]


def recognise_family(model: onnx.ModelProto) -> str | None:
    """The name in PROFILES of the family that the graph's input and outputs belong to, else None."""
    # The exporter's own record: all detectors of this line since YOLOv5 share this preprocessing.
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if metadata.get("author") == "Ultralytics" and metadata.get("task") == "detect":
        return "yolov8"
    try:
        graph = _Graph(model)
    except OnnxbinError:
        return None
    return next((name for name, matches in _RULES.items() if matches(graph)), None)


class _Graph:
    """What the rules look at."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.input = ImageInput.of(model)
        self.operators = {node.op_type for node in model.graph.node}
        self.output_names = [value.name for value in model.graph.output]
        self.outputs: list[tuple[int, ...]] = [
            tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in model.graph.output
        ]
        self._nodes = model.graph.node

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        return next((node for node in self._nodes if tensor in node.output), None)

    def readers(self, tensor: str) -> list[str]:
        return [node.op_type for node in self._nodes if tensor in node.input]

    def cells(self) -> list[int]:
        """Cells of the feature maps at strides 8, 16 and 32."""
        return [(self.input.height // stride) * (self.input.width // stride) for stride in (8, 16, 32)]


def _is_yolov8(graph: _Graph) -> bool:
    # Channels before cells, cells of strides 8, 16 and 32 in one tensor. Only the exporters of this line (v8
    # to v12, and forks that kept its loader) write 4 + classes in that order.
    if len(graph.outputs) != 1 or len(graph.outputs[0]) != 3:
        return False
    _, channels, cells = graph.outputs[0]
    return channels > 4 and cells == sum(graph.cells())


def _is_yolox(graph: _Graph) -> bool:
    # One anchor a cell, cells before channels. YOLOv6 has this shape too, with other pixels: what tells them
    # apart is the Focus stem, which slices the input four times (eight slices in some exports). (YOLOX 0.1.0,
    # one month in 2021, normalised its input and looks the same; its weights were withdrawn.)
    if len(graph.outputs) != 1 or len(graph.outputs[0]) != 3:
        return False
    _, cells, channels = graph.outputs[0]
    focus = set(graph.readers(graph.input.name)) == {"Slice"}
    return focus and channels > 5 and cells == sum(graph.cells())


def _is_nanodet(graph: _Graph) -> bool:
    # Three strides, each with class scores and, for four sides, a distribution over at least four distances.
    # Every published NanoDet configuration has this mean and std. PicoDet has such outputs too, but four
    # strides.
    if len(graph.outputs) != 6 or any(len(shape) != 3 for shape in graph.outputs):
        return False
    scores, boxes = graph.outputs[:3], graph.outputs[3:]
    if graph.outputs[0][1] == graph.outputs[1][1]:
        scores, boxes = graph.outputs[::2], graph.outputs[1::2]
    cells = graph.cells()
    return (
        [shape[1] for shape in scores] == cells
        and [shape[1] for shape in boxes] == cells
        and len({shape[2] for shape in scores}) == 1
        and all(shape[2] % 4 == 0 and shape[2] >= 16 for shape in boxes)
    )


def _is_fastestdet(graph: _Graph) -> bool:
    # One map at stride 16, joined from a Sigmoid (objectness), a Conv (box) and a Softmax over the classes,
    # which it transposes around. A plain one-anchor YOLO head has the shape but not the join.
    size = (graph.input.height // 16, graph.input.width // 16)
    if len(graph.outputs) != 1 or len(graph.outputs[0]) != 4 or graph.outputs[0][2:] != size:
        return False
    join = graph.producer(graph.output_names[0])
    if join is None or join.op_type != "Concat" or len(join.input) != 3:
        return False
    parts = [graph.producer(tensor) for tensor in join.input]
    kinds = [part.op_type for part in parts if part is not None]
    return len(kinds) == 3 and kinds[0] == "Sigmoid" and kinds[2] in ("Softmax", "Transpose")


def _is_yolov4(graph: _Graph) -> bool:
    # Two raw maps at strides 32 and 16 of three anchors each, and leaky activations: Darknet's tiny detectors
    # (v3 and v4), which take RGB in [0, 1]. Raw maps of YOLOv5 and v7 look alike but come in threes.
    if len(graph.outputs) != 2 or "LeakyRelu" not in graph.operators:
        return False
    channels = {shape[1] for shape in graph.outputs if len(shape) == 4}
    grids = sorted(shape[2:] for shape in graph.outputs)
    expected = [(graph.input.height // stride, graph.input.width // stride) for stride in (32, 16)]
    return len(channels) == 1 and grids == expected and all(c % 3 == 0 and c // 3 > 5 for c in channels)


def _is_ssd_mobilenet(graph: _Graph) -> bool:
    # 1917 anchors at 300x300 and 91 columns (COCO's 90 ids and a background) are the MobileNet SSDs of the
    # TensorFlow object detection API, which all map pixels to [-1, 1]; other SSDs of this size have 8732 or
    # 3000 anchors.
    shapes = sorted(shape[1:] for shape in graph.outputs)
    return (graph.input.height, graph.input.width) == (300, 300) and shapes == [(1917, 4), (1917, 91)]


_RULES: dict[str, Callable[[_Graph], bool]] = {
    "yolov8": _is_yolov8,
    "yolox": _is_yolox,
    "nanodet": _is_nanodet,
    "fastestdet": _is_fastestdet,
    "yolov4": _is_yolov4,
    "ssd-mobilenet": _is_ssd_mobilenet,
}


def _dtype(model: onnx.ModelProto) -> str | None:
    try:
        return ImageInput.of(model).dtype
    except OnnxbinError:
        return None

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
from onnxbin.images.outline import Outline
from onnxbin.images.preprocess import METADATA_KEY, Channels, Preprocessing, Resize

_IMAGENET_BGR = {"channels": "bgr", "mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395)}

PROFILES: dict[str, Preprocessing] = {
    # Darknet's default at inference is a plain resize (letter_box=0), AlexeyAB/darknet.
    "yolov4": Preprocessing(),
    # TensorFlow object detection API: pixels to about [-1, 1].
    "ssd-mobilenet": Preprocessing(mean=(128.0, 128.0, 128.0), std=(128.0, 128.0, 128.0)),
    # Ultralytics and its line, from YOLOv5 to v12.
    "yolov5": Preprocessing(resize="letterbox"),
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
    """The preprocessing recorded in `model`, or that of its family of detectors, else None.

    It comes with its name, "recorded" or one of PROFILES. Raises OnnxbinError on a record that cannot be
    read.
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
        outline = Outline(model)
    except OnnxbinError:
        return None
    return next((name for name, matches in _RULES.items() if matches(outline)), None)


def is_yolov8(outline: Outline) -> bool:
    """One tensor of 4 box rows and a row a class, as YOLOv8 and its successors write."""
    # Channels before cells, cells of strides 8, 16 and 32 in one tensor. Only the exporters of this line (v8
    # to v12, and forks that kept its loader) write 4 + classes in that order.
    if len(outline.outputs) != 1 or len(outline.outputs[0]) != 3:
        return False
    _, channels, cells = outline.outputs[0]
    return channels > 4 and cells == sum(outline.cells())


def is_yolov5(outline: Outline) -> bool:
    """One tensor of three anchors a cell, at strides 8, 16, 32 and perhaps 64: YOLOv5, v7 and their kin."""
    # Joining the anchors of all strides after decoding began with YOLOv5 and is done by the repositories that
    # grew from it, which kept its loader. (Darknet's detectors come as maps, or with boxes and scores apart.)
    if len(outline.outputs) != 1 or len(outline.outputs[0]) != 3:
        return False
    _, anchors, channels = outline.outputs[0]
    fine, coarse = sum(outline.cells()), (outline.input.height // 64) * (outline.input.width // 64)
    return channels > 5 and anchors in (3 * fine, 3 * (fine + coarse))


def is_yolox(outline: Outline) -> bool:
    """One tensor of boxes, objectness and classes a cell, behind a Focus stem."""
    # One anchor a cell, cells before channels. YOLOv6 has this shape too, with other pixels: what tells them
    # apart is the Focus stem, which slices the input four times (eight slices in some exports). (YOLOX 0.1.0,
    # one month in 2021, normalised its input and looks the same; its weights were withdrawn.)
    if len(outline.outputs) != 1 or len(outline.outputs[0]) != 3:
        return False
    _, cells, channels = outline.outputs[0]
    focus = set(outline.readers(outline.input.name)) == {"Slice"}
    return focus and channels > 5 and cells == sum(outline.cells())


def is_nanodet(outline: Outline) -> bool:
    """Class scores and box distributions for three strides."""
    # Three strides, each with class scores and, for four sides, a distribution over at least four distances.
    # Every published NanoDet configuration has this mean and std. PicoDet has such outputs too, at four
    # strides.
    if len(outline.outputs) != 6 or any(len(shape) != 3 for shape in outline.outputs):
        return False
    scores, boxes = outline.outputs[:3], outline.outputs[3:]
    if outline.outputs[0][1] == outline.outputs[1][1]:
        scores, boxes = outline.outputs[::2], outline.outputs[1::2]
    cells = outline.cells()
    return (
        [shape[1] for shape in scores] == cells
        and [shape[1] for shape in boxes] == cells
        and len({shape[2] for shape in scores}) == 1
        and all(shape[2] % 4 == 0 and shape[2] >= 16 for shape in boxes)
    )


def is_fastestdet(outline: Outline) -> bool:
    """One map at stride 16: objectness, box, softmaxed classes."""
    # One map at stride 16, joined from a Sigmoid (objectness), a Conv (box) and a Softmax over the classes,
    # which it transposes around. A plain one-anchor YOLO head has the shape but not the join.
    size = (outline.input.height // 16, outline.input.width // 16)
    if len(outline.outputs) != 1 or len(outline.outputs[0]) != 4 or outline.outputs[0][2:] != size:
        return False
    join = outline.producer(outline.output_names[0])
    if join is None or join.op_type != "Concat" or len(join.input) != 3:
        return False
    parts = [outline.producer(tensor) for tensor in join.input]
    kinds = [part.op_type for part in parts if part is not None]
    return len(kinds) == 3 and kinds[0] == "Sigmoid" and kinds[2] in ("Softmax", "Transpose")


def is_yolov4(outline: Outline) -> bool:
    """Raw maps of Darknet's tiny detectors, v3 and v4."""
    # Two raw maps at strides 32 and 16 of three anchors each, and leaky activations: Darknet's tiny detectors
    # (v3 and v4), which take RGB in [0, 1]. Raw maps of YOLOv5 and v7 look alike but come in threes.
    if len(outline.outputs) != 2 or "LeakyRelu" not in outline.operators:
        return False
    channels = {shape[1] for shape in outline.outputs if len(shape) == 4}
    grids = sorted(shape[2:] for shape in outline.outputs)
    expected = [(outline.input.height // stride, outline.input.width // stride) for stride in (32, 16)]
    return len(channels) == 1 and grids == expected and all(c % 3 == 0 and c // 3 > 5 for c in channels)


def is_ssd_mobilenet(outline: Outline) -> bool:
    """Boxes and scores of the 1917 anchors of TensorFlow's MobileNet SSDs."""
    # 1917 anchors at 300x300 and 91 columns (COCO's 90 ids and a background) are the MobileNet SSDs of the
    # TensorFlow object detection API, which all map pixels to [-1, 1]; other SSDs of this size have 8732 or
    # 3000 anchors.
    shapes = sorted(shape[1:] for shape in outline.outputs)
    return (outline.input.height, outline.input.width) == (300, 300) and shapes == [(1917, 4), (1917, 91)]


_RULES: dict[str, Callable[[Outline], bool]] = {
    "yolov8": is_yolov8,
    "yolov5": is_yolov5,
    "yolox": is_yolox,
    "nanodet": is_nanodet,
    "fastestdet": is_fastestdet,
    "yolov4": is_yolov4,
    "ssd-mobilenet": is_ssd_mobilenet,
}


def _dtype(model: onnx.ModelProto) -> str | None:
    try:
        return ImageInput.of(model).dtype
    except OnnxbinError:
        return None

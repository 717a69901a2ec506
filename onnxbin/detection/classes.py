"""What a detector's classes are called."""

from __future__ import annotations

import ast

import onnx

_VOC = (
    "aeroplane|bicycle|bird|boat|bottle|bus|car|cat|chair|cow|diningtable|dog|horse|motorbike|person|"
    "pottedplant|sheep|sofa|train|tvmonitor"
)
_COCO = (
    "person|bicycle|car|motorcycle|airplane|bus|train|truck|boat|traffic light|fire hydrant|stop sign|"
    "parking meter|bench|bird|cat|dog|horse|sheep|cow|elephant|bear|zebra|giraffe|backpack|umbrella|"
    "handbag|tie|suitcase|frisbee|skis|snowboard|sports ball|kite|baseball bat|baseball glove|skateboard|"
    "surfboard|tennis racket|bottle|wine glass|cup|fork|knife|spoon|bowl|banana|apple|sandwich|orange|"
    "broccoli|carrot|hot dog|pizza|donut|cake|chair|couch|potted plant|bed|dining table|toilet|tv|laptop|"
    "mouse|remote|keyboard|cell phone|microwave|oven|toaster|sink|refrigerator|book|clock|vase|scissors|"
    "teddy bear|hair drier|toothbrush"
)

VOC = _VOC.split("|")
COCO = _COCO.split("|")

# COCO numbers its 80 classes 1 to 90; TensorFlow's detectors keep the numbers, and 0 for the background.
_COCO_UNUSED = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


def _coco_by_id() -> list[str]:
    names = iter(COCO)
    return ["" if number in _COCO_UNUSED else next(names) for number in range(91)]


def class_names(model: onnx.ModelProto, count: int) -> list[str] | None:
    """The names of a model's `count` classes: those its exporter recorded, else those of COCO or VOC, else
    None.

    80 classes are COCO's, 91 COCO's with its own numbers, 20 VOC's; "" is a number that stands for no class.
    """
    recorded = next((entry.value for entry in model.metadata_props if entry.key == "names"), None)
    if recorded is not None:
        try:
            names = ast.literal_eval(recorded)
            return [str(names[index]) for index in range(len(names))]
        except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
            pass  # some other exporter's "names"
    return {80: COCO, 91: _coco_by_id(), 20: VOC}.get(count)

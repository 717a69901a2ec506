"""From a model's raw outputs to boxes, and from boxes to figures.

Data flows `families` (outputs -> candidates) -> `detections` (score floor, suppression) -> `detector` (an
image in, boxes in it out). `evaluation` puts a detector against `labels` by way of `matching` and `metrics`,
`coco` adds the figures of pycocotools, `comparison` puts two models side by side where there are no labels,
`confidence` says how sure they are, and of what, and `draw` shows what they found.
"""

from onnxbin.detection.comparison import Comparison, compare
from onnxbin.detection.confidence import Certainty, Confidence
from onnxbin.detection.detections import Detections, Selection, iou, nms
from onnxbin.detection.detector import Detector, known_detector
from onnxbin.detection.evaluation import REASONABLE, Evaluation, evaluate
from onnxbin.detection.families import FAMILIES
from onnxbin.detection.labels import LabelledSet, read_labels

__all__ = [
    "FAMILIES",
    "REASONABLE",
    "Certainty",
    "Comparison",
    "Confidence",
    "Detections",
    "Detector",
    "Evaluation",
    "LabelledSet",
    "Selection",
    "compare",
    "evaluate",
    "iou",
    "known_detector",
    "nms",
    "read_labels",
]

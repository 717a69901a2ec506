"""COCO's twelve figures, through pycocotools, so that they are the ones that everybody reports."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxbin.detection.detections import Detections, Float32
from onnxbin.detection.matching import Truth
from onnxbin.errors import OnnxbinError

FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""The names of the figures, in the order of pycocotools."""


def coco_figures(
    detections: Sequence[Detections], truths: Sequence[Truth], classes: Sequence[int]
) -> dict[str, float]:
    """The figures over `classes`, by the names in FIGURES; NaN for sizes of which there are no labels.

    Ignored labels count as crowds. Raises OnnxbinError where pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise OnnxbinError("COCO figures need pycocotools: pip install 'onnxbin[evaluate]'") from None
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": index} for index in range(len(truths))],
            "categories": [{"id": k} for k in classes],
            "annotations": _annotations(truths),
        }
        truth.createIndex()
        found = _results(detections)
        evaluation = COCOeval(truth, truth.loadRes(found) if found else COCO(), "bbox")
        evaluation.params.catIds = list(classes)
        evaluation.params.imgIds = list(range(len(truths)))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # -1 is how pycocotools writes "nothing to find".
    return {
        name: float(value) if value >= 0 else float("nan")
        for name, value in zip(FIGURES, evaluation.stats, strict=True)
    }


def _annotations(truths: Sequence[Truth]) -> list[dict[str, Any]]:
    rows = [
        {
            "image_id": image,
            "category_id": int(kind),
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": int(ignored),
        }
        for image, truth in enumerate(truths)
        for box, kind, ignored in zip(_xywh(truth.boxes), truth.classes, truth.ignored, strict=True)
    ]
    # From 1: pycocotools takes a label numbered 0 for one that was not matched.
    return [{"id": number, **row} for number, row in enumerate(rows, 1)]


def _results(detections: Sequence[Detections]) -> list[dict[str, Any]]:
    return [
        {"image_id": image, "category_id": int(kind), "bbox": box, "score": float(score)}
        for image, found in enumerate(detections)
        for box, kind, score in zip(_xywh(found.boxes), found.classes, found.scores, strict=True)
    ]


def _xywh(boxes: Float32) -> list[list[float]]:
    corners = boxes.astype(np.float64)
    rows: list[list[float]] = np.concatenate(
        [corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1
    ).tolist()
    return rows

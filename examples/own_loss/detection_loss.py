"""Fine-tuning on labels instead of distillation, for detectors whose output is YOLOv8's.

    LABELS=train.json onnxbin compress model.onnx --images train.json --finetune detection_loss:function

The output [N, 4 + classes, cells] holds for each cell of strides 8, 16 and 32 the centre, width and height of
a box in pixels of the input, and a score for each class. A labelled box is learned by those cells inside it
that know it best already (Feng et al.: "TOOD: Task-aligned One-stage Object Detection", arXiv 2108.07755,
section 3.2): their boxes by generalised IoU, their scores by binary cross-entropy. All other cells learn to
see nothing. Copy this file and change what is in capitals; for other heads, change `loss`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxbin import OnnxbinError, Step
from onnxbin.detection import read_labels
from onnxbin.detection.labels import LabelledImage
from onnxbin.images import ImageSet
from onnxbin.images.source import image_size

LABELS = Path(os.environ.get("LABELS", "train.json"))
"""COCO json, or a folder of VOC or YOLO labels, of the images that are trained on."""

CLASSES = {"person": 0}
"""Which class of the model each class of the labels is; labels of others are left out."""

BATCH = 8
STRIDES = (8, 16, 32)
CELLS_A_BOX = 10
BOX_WEIGHT = 7.5
"""How much boxes count against scores; half of what they do in YOLOv8's training."""

LATENT_RATE, SCALE_RATE, REAL_RATE = 3e-2, 1e-4, 5e-4
"""Adam's learning rates: of the weights behind the signs, whose mean magnitude is 1; of the scales of binary
layers; of everything else. As in distillation."""


@dataclass(frozen=True)
class Labels:
    """What is in one image, in pixels of the model's input: boxes [n, 4] as corners, classes [n].

    ignored: boxes [m, 4], regions in which nothing is right or wrong.
    """

    boxes: Tensor
    classes: Tensor
    ignored: Tensor


def function(module: nn.Module, images: ImageSet, step: Step) -> None:
    """Train the network for the steps of one layer's turn.

    module: from a dict of inputs to a dict of outputs. images: those of --images, less what is held back.
    """
    device = next(module.parameters()).device
    optimizer = torch.optim.Adam(groups(module))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, step.training_steps))
    rng = np.random.default_rng(step.number)  # a run that is taken up again draws the same images
    for _ in range(step.training_steps):
        drawn = rng.choice(len(images), BATCH)
        mirrored = rng.random(BATCH) < 0.5
        samples = [sample(images, int(i), bool(m)) for i, m in zip(drawn, mirrored, strict=True)]
        x = torch.stack([tensor for tensor, _ in samples]).to(device)
        (output,) = module({images.target.name: x}).values()
        value = loss(output.cpu(), [labels for _, labels in samples], (x.shape[2], x.shape[3]))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), 10.0)
        optimizer.step()
        schedule.step()


def groups(module: nn.Module) -> list[dict[str, object]]:
    """The parameters with their learning rates; binary layers call theirs latent, scale and bias."""
    rates = {"latent": LATENT_RATE, "scale": SCALE_RATE}
    return [
        {"params": [parameter], "lr": rates.get(name.rpartition(".")[2], REAL_RATE)}
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    ]


def sample(images: ImageSet, index: int, mirrored: bool) -> tuple[Tensor, Labels]:
    """An image as the model's input [3, height, width], mirrored or not, and its labels in it."""
    array, geometry = images.placed(index)
    path = images.paths[index].resolve()
    names, labelled = labels_of_files()
    if path not in labelled:
        raise OnnxbinError(f"{LABELS}: has no labels for {path}")
    entry = labelled[path]
    # A large JPEG is decoded at a fraction of its size, which its labels know nothing of.
    height, width = entry.size or image_size(path)
    decoded_height, decoded_width = images.pixels(index).shape[:2]
    shrunk = entry.truth.boxes * np.array([decoded_width / width, decoded_height / height] * 2)
    boxes = torch.from_numpy(geometry.to_input(shrunk))
    tensor = torch.from_numpy(array)
    if mirrored:
        tensor = tensor.flip(-1)
        boxes = torch.stack(
            [tensor.shape[-1] - boxes[:, 2], boxes[:, 1], tensor.shape[-1] - boxes[:, 0], boxes[:, 3]], 1
        )
    numbers = np.array([CLASSES.get(name, -1) for name in names])
    classes = torch.from_numpy(numbers[entry.truth.classes])
    ignored = torch.from_numpy(entry.truth.ignored)
    wanted = (classes >= 0) & ~ignored
    return tensor, Labels(boxes[wanted], classes[wanted], boxes[(classes >= 0) & ignored])


@cache
def labels_of_files() -> tuple[list[str], dict[Path, LabelledImage]]:
    """The names of the labels' classes, and the labels of each image file; read once."""
    labelled = read_labels(LABELS)
    return labelled.names, {image.path.resolve(): image for image in labelled.images}


def loss(output: Tensor, labels: list[Labels], size: tuple[int, int]) -> Tensor:
    """How far detections [N, 4 + classes, cells] are from the labels of N images; size: height, width."""
    centres = cell_centres(size)
    boxes = torch.cat([output[:, :2] - output[:, 2:4] / 2, output[:, :2] + output[:, 2:4] / 2], 1).mT
    scores = output[:, 4:].mT
    target, counts = torch.zeros_like(scores), torch.ones_like(scores)
    box_loss = output.new_zeros(())
    for i, truth in enumerate(labels):
        counts[i, inside(centres, truth.ignored).any(0)] = 0
        box, cell, quality = assign(boxes[i].detach(), scores[i].detach(), truth, centres)
        target[i, cell, truth.classes[box]] = quality
        counts[i, cell] = 1
        _, generalised = overlap(truth.boxes[box], boxes[i, cell])
        box_loss = box_loss + (quality * (1 - generalised)).sum()
    entropy = functional.binary_cross_entropy(scores, target, counts, reduction="sum")
    return (entropy + BOX_WEIGHT * box_loss) / target.sum().clamp(min=1)


def assign(boxes: Tensor, scores: Tensor, truth: Labels, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which cells of one image learn which labelled box: boxes [k], cells [k] and the scores to learn [k].

    boxes [cells, 4], scores [cells, classes]: what the network says so far.
    """
    iou, _ = overlap(truth.boxes[:, None], boxes[None])
    aligned = scores[:, truth.classes].mT.sqrt() * iou**6 + 1e-9
    aligned = aligned * inside(centres, truth.boxes)
    most = aligned.topk(min(CELLS_A_BOX, len(centres)), 1).values[:, -1:]
    aligned = torch.where(aligned >= most, aligned, 0.0)
    # As far as a cell is from the best of its box, so far is its score to be from the best overlap.
    best = aligned.amax(1, keepdim=True).clamp(min=1e-12)
    quality = aligned / best * iou.amax(1, keepdim=True)
    # Where several boxes want a cell, the one that it overlaps most has it.
    wants = torch.where(aligned > 0, iou + 1e-9, 0.0)
    keeps = (wants > 0) & (wants == wants.amax(0, keepdim=True)) if len(wants) else wants > 0
    box, cell = keeps.nonzero(as_tuple=True)
    return box, cell, quality[box, cell]


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (arXiv 1902.09630) of boxes [..., 4] as corners, broadcast."""
    shared = (
        (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    )
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return shared / union, shared / union - (hull - union) / hull


def inside(centres: Tensor, boxes: Tensor) -> Tensor:
    """Which of the points [cells, 2] lie in which box [n, 4]: bool [n, cells]."""
    return ((centres > boxes[:, None, :2]) & (centres < boxes[:, None, 2:])).all(2)


def cell_centres(size: tuple[int, int]) -> Tensor:
    """The centre x, y of every cell, in pixels of the input: [cells, 2]."""
    levels = []
    for stride in STRIDES:
        rows, columns = (torch.arange(length // stride) + 0.5 for length in size)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        levels.append(torch.stack([x, y], 2).reshape(-1, 2) * stride)
    return torch.cat(levels)

"""Trains the street detector on scenes that are rendered here, and writes it as ONNX.

    python examples/street/train.py

A pedestrian is learned by the four cells whose centres are nearest to the middle of its box, of the level for
its height. Their score is to be the overlap of their box with the pedestrian's, all others' zero: the quality
focal loss (Li et al., arXiv 2006.04388, equation 4), so that the best box of a pedestrian is also the one
with the highest score. Boxes are learned by generalised IoU (Rezatofighi et al., arXiv 1902.09630). Both
losses see the output of the file itself: pixels, and the score after the sigmoid.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scenes
import torch
from detector import STRIDES, StreetDetector
from export import write_onnx
from scenes import HEIGHT, WIDTH, Picture
from torch import Tensor

LEVEL_HEIGHTS = (56, 112)
"""Pixels: a pedestrian taller than this belongs to the next level."""

BATCH = 16
LEARNING_RATE = 2e-3
BOX_WEIGHT = 2.0


def assign(boxes: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The cells that learn a pedestrian, of one picture, and the box that each of them learns.

    boxes: [n, 4] left, top, width, height. Returns indices [k] into the detector's cells and boxes [k, 4] as
    cx, cy, width, height. Where two pedestrians want a cell, the nearer, painted later, has it.
    """
    learns: dict[int, npt.NDArray[np.float32]] = {}
    for left, top, width, height in boxes:
        box = np.array([left + width / 2, top + height / 2, width, height], np.float32)
        level = int(np.searchsorted(LEVEL_HEIGHTS, height))
        stride, first = STRIDES[level], sum((HEIGHT // s) * (WIDTH // s) for s in STRIDES[:level])
        rows, columns = HEIGHT // stride, WIDTH // stride
        # The centres of cells c - 1 and c are the nearest on either side of the middle.
        column, row = round(float(box[0]) / stride), round(float(box[1]) / stride)
        for r in {min(max(row + i, 0), rows - 1) for i in (-1, 0)}:
            for c in {min(max(column + i, 0), columns - 1) for i in (-1, 0)}:
                learns[first + r * columns + c] = box
    cells = np.fromiter(learns.keys(), np.int64, len(learns))
    return cells, np.array(list(learns.values()), np.float32).reshape(-1, 4)


def generalised_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes [k, 4] and [k, 4], cx, cy, width, height: two tensors [k]."""
    a_low, a_high = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2
    b_low, b_high = b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
    shared = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0).prod(dim=1)
    union = a[:, 2:].prod(dim=1) + b[:, 2:].prod(dim=1) - shared
    hull = (torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)).prod(dim=1)
    iou = shared / union
    return iou, iou - (hull - union) / hull


def loss(output: Tensor, pictures: list[Picture]) -> Tensor:
    """How far the detections [N, 5, cells] are from the boxes of N pictures, per learning cell."""
    assigned = [assign(picture.boxes) for picture in pictures]
    image = torch.cat([torch.full((len(cells),), i) for i, (cells, _) in enumerate(assigned)])
    cell = torch.cat([torch.from_numpy(cells) for cells, _ in assigned])
    wanted = torch.cat([torch.from_numpy(boxes) for _, boxes in assigned])

    iou, giou = generalised_iou(output[image, :4, cell], wanted)
    score = output[:, 4]
    target = torch.zeros_like(score)
    target[image, cell] = iou.detach()
    entropy = torch.nn.functional.binary_cross_entropy(score, target, reduction="none")
    quality = ((target - score).abs().square() * entropy).sum()
    return (quality + BOX_WEIGHT * (1 - giou).sum()) / max(1, len(cell))


def batches(pictures: list[Picture], rng: np.random.Generator) -> Iterator[list[Picture]]:
    """The pictures in random order, half of them mirrored, some brighter and some darker, BATCH at a time."""
    order = rng.permutation(len(pictures))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        yield [_varied(pictures[i], rng) for i in order[start : start + BATCH]]


def _varied(picture: Picture, rng: np.random.Generator) -> Picture:
    image, boxes = picture.image, picture.boxes
    if rng.random() < 0.5:
        image, boxes = image[:, ::-1], boxes.copy()
        boxes[:, 0] = WIDTH - boxes[:, 0] - boxes[:, 2]
    exposed = image * np.float32(rng.uniform(0.7, 1.3))
    return Picture(exposed.clip(0, 255).astype(np.uint8), boxes)


def stack(pictures: list[Picture]) -> Tensor:
    """Images as the detector's input: float32 [N, 3, HEIGHT, WIDTH] in 0..1."""
    images = np.stack([picture.image for picture in pictures]).transpose(0, 3, 1, 2)
    return torch.from_numpy(images.astype(np.float32) / 255)


def train(pictures: list[Picture], epochs: int, seed: int) -> StreetDetector:
    """A detector trained from scratch on the pictures; prints the mean loss of every epoch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = StreetDetector()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=0.02)
    steps = epochs * (len(pictures) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps, pct_start=0.1)
    for epoch in range(epochs):
        start, losses = time.monotonic(), []
        for batch in batches(pictures, rng):
            value = loss(model(stack(batch)), batch)
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            losses.append(float(value.detach()))
        seconds = time.monotonic() - start
        print(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}, {seconds:.0f} s", flush=True)
    return model.eval()


def main() -> None:
    """Read the command line, render, train, write."""
    parser = argparse.ArgumentParser(description="Train the street detector and write it as ONNX.")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("street.onnx"))
    parser.add_argument("--scenes", type=int, default=8000, help="rendered for training, of seeds 0, 1, ...")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and the order of pictures")
    arguments = parser.parse_args()
    pictures = [scenes.render(seed) for seed in range(arguments.scenes)]
    write_onnx(train(pictures, arguments.epochs, arguments.seed), arguments.output)


if __name__ == "__main__":
    main()

"""Makes the street detector twenty times smaller, and shows what that does to the pedestrians it finds.

    python examples/street/demo.py

Writes into the folder `demo`: the compressed model and a picture with the detections before and after.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from measure import detect, held_out, person_ap
from PIL import Image
from scenes import Picture

import onnxbin
from onnxbin.detection.detections import Detections
from onnxbin.detection.draw import draw, side_by_side

MODEL = Path(__file__).with_name("street.onnx")
IMAGES = Path(__file__).with_name("images")
OUTPUT = Path("demo")

RATIO = 20
STEPS = 200
"""Of fine-tuning after each layer, five times the default: the network is small."""

SCENES = 200
"""Held-out scenes, rendered now, to measure with."""

SHOWN, CROWD, ENLARGED, MIN_SCORE = 3, 4, 3, 0.3
"""The picture: this many scenes of at least so many pedestrians, how far enlarged, boxes from which score."""


class Progress(onnxbin.Listener):
    """A line for each step: the ratio so far, and the agreement before and after fine-tuning."""

    def step_finished(self, step: onnxbin.Step, record: onnxbin.Record) -> None:
        """What the turn has done."""
        name = " ".join([record.title, "x".join(map(str, record.shape))])
        before, after = ("-" if value is None else f"{value:.3f}" for value in (record.before, record.after))
        print(f"{step.number:3} {name:28} {record.ratio:6.2f} {before:>8} {after:>8}", flush=True)


def main() -> None:
    """Compress with fine-tuning and, to compare, without; measure; draw."""
    formatter = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=formatter).parse_args()
    OUTPUT.mkdir(exist_ok=True)
    models = {
        "original": MODEL,
        "binarized, not fine-tuned": OUTPUT / "street.untuned.onnx",
        "binarized and fine-tuned": OUTPUT / "street.binary.onnx",
    }
    _, untuned, tuned = models.values()
    onnxbin.compress(MODEL, untuned, until_ratio=RATIO, images=IMAGES, finetune=False)
    print(f"{'layer':32}  ratio   before    after", flush=True)
    result = onnxbin.compress(
        MODEL,
        tuned,
        until_ratio=RATIO,
        images=IMAGES,
        batch_size=8,
        steps_per_layer=STEPS,
        listener=Progress(),
    )
    print(f"{result.reason}, in {result.seconds:.0f} s\n")

    pictures = held_out(SCENES)
    found = {name: detect(path, pictures) for name, path in models.items()}
    print(f"{f'on {SCENES} scenes never seen':32}   bytes   ratio  person AP")
    for name, path in models.items():
        size = path.stat().st_size
        print(
            f"{name:30} {size:9} {MODEL.stat().st_size / size:7.2f} {person_ap(found[name], pictures):10.3f}"
        )

    comparison = OUTPUT / "before_after.png"
    before, _, after = found.values()
    Image.fromarray(compare(pictures, before, after)).save(comparison)
    print(f"\nwritten: {tuned}, {comparison}")


def compare(
    pictures: list[Picture], before: list[Detections], after: list[Detections]
) -> npt.NDArray[np.uint8]:
    """Scenes below one another, with the boxes of either model: uint8 [height, width, 3]."""
    crowded = [index for index, picture in enumerate(pictures) if len(picture.boxes) >= CROWD][:SHOWN]
    rows = []
    for index in crowded:
        sheets = [_enlarged(pictures[index], found[index]) for found in (before, after)]
        rows.append(side_by_side(sheets, ["before: 32 bits a weight", "after: 1 bit a weight"]))
    return np.concatenate(rows)


def _enlarged(picture: Picture, found: Detections) -> npt.NDArray[np.uint8]:
    image = Image.fromarray(picture.image)
    large = image.resize((image.width * ENLARGED, image.height * ENLARGED), Image.Resampling.BICUBIC)
    shown = found[found.scores >= MIN_SCORE]
    return draw(np.asarray(large), replace(shown, boxes=shown.boxes * ENLARGED), ["person"])


if __name__ == "__main__":
    try:
        main()
    except onnxbin.OnnxbinError as error:
        sys.exit(f"error: {error}")

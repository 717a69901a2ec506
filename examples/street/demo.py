"""Makes the street detector twenty times smaller, and shows what that does to the pedestrians it finds.

    python examples/street/demo.py

Writes into the folder `demo`: the compressed model and a picture with the detections before and after.
"""

from __future__ import annotations

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
SCENES = 200
"""Held-out scenes, rendered now, to measure with."""

SHOWN, CROWD, ENLARGED, MIN_SCORE = 3, 4, 3, 0.3
"""The picture: so many scenes of at least so many pedestrians, so many times enlarged, boxes from this score."""


class Progress(onnxbin.Listener):
    """A line for each layer."""

    def layer_finished(self, step: onnxbin.Step, record: onnxbin.Record) -> None:
        """What the layer's turn has done."""
        before, after = (
            f"{value:6.3f}" if value is not None else "     -" for value in (record.before, record.after)
        )
        print(
            f"{step.number:5} {record.layer:16} {record.ratio:6.2f} {before} {after} {record.seconds:5.0f} s",
            flush=True,
        )


def main() -> None:
    """Compress, measure, draw."""
    OUTPUT.mkdir(exist_ok=True)
    untrained, compressed = OUTPUT / "street.untrained.onnx", OUTPUT / "street.binary.onnx"

    print("layer                  ratio before  after fine-tuning")
    onnxbin.compress(MODEL, untrained, until_ratio=RATIO, images=IMAGES, finetune=False)
    result = onnxbin.compress(
        MODEL, compressed, until_ratio=RATIO, images=IMAGES, batch_size=8, listener=Progress()
    )
    print(f"{result.reason}; agreement of the outputs {result.agreement:.3f}\n")

    pictures = held_out(SCENES)
    found = {path: detect(path, pictures) for path in (MODEL, untrained, compressed)}
    print(f"on {SCENES} scenes never seen             bytes  ratio  person AP")
    for path, name in (
        (MODEL, "original"),
        (untrained, "binarized, not trained"),
        (compressed, "onnxbin compress"),
    ):
        size, ap = path.stat().st_size, person_ap(found[path], pictures)
        print(f"{name:28} {size:12,} {MODEL.stat().st_size / size:6.2f} {ap:10.3f}")

    comparison = OUTPUT / "before_after.png"
    Image.fromarray(compare(pictures, found[MODEL], found[compressed])).save(comparison)
    print(f"\nwritten: {compressed}, {comparison}")


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
    main()

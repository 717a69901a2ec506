"""Street scenes with labels, to have something to train on: JPEG files and `labels.json` in COCO's format.

python labelled_scenes.py scenes/train --count 512 --seed 200000
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "street"))

from scenes import HEIGHT, WIDTH, render


def write_scenes(folder: Path, count: int, seed: int) -> None:
    """Render scenes of the seeds `seed`, `seed` + 1, ... and write them with their labels."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        picture = render(seed + number)
        name = f"images/{seed + number}.jpg"
        Image.fromarray(picture.image).save(folder / name, quality=88)
        images.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for box in picture.boxes.tolist():
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box}
            )
    categories = [{"id": 1, "name": "person"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(content))


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(description="Render street scenes with labels.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--seed", type=int, default=200000, help="of the first; the next ones follow")
    arguments = parser.parse_args()
    write_scenes(arguments.folder, arguments.count, arguments.seed)


if __name__ == "__main__":
    main()

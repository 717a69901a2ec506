"""Image files of all kinds: named in one line, or decoded."""

import io
import struct
import zlib

import numpy as np
import pytest
from damage import FACTOR, damaged
from PIL import Image

from onnxbin import OnnxbinError
from onnxbin.images.source import MOST_PIXELS, ImageFiles, image_size, read_image


def content(form, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 50, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(buffer, form, exif=exif, **options)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("form", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("PNG", {"bits": 4})]
)
def test_damaged_images(tmp_path, form, options):
    path = tmp_path / "image.png"
    good = content(form, **options)
    taken, said = 0, set()
    for seed in range(300 * FACTOR):
        # Every other damage is to the first bytes, where the sizes are.
        head = 200 if seed % 2 else len(good)
        path.write_bytes(damaged(good[:head], seed) + good[head:])
        for reading in (ImageFiles, image_size, read_image, lambda p: read_image(p, enough=16)):
            try:
                reading([path] if reading is ImageFiles else path)
                taken += 1
            except OnnxbinError as error:
                said.add(str(error))
    assert all(str(path) in line and len(line.splitlines()) == 1 for line in said), said
    assert taken  # not all damage is too much


def png(width, height, data=b""):
    """A PNG that says it is so large, with these compressed pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(width, height):
    """A JPEG that says it is so large."""
    good = bytearray(content("JPEG"))
    frame = good.index(b"\xff\xc0")
    good[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(good)


BOMBS = {
    "png.png": png(2**31 - 1, 2**31 - 1),
    "more.png": png(10_001, 10_000, zlib.compress(bytes(1000))),
    "most.png": png(30_000, 30_000, zlib.compress(bytes(10**6))),
    "none.png": png(0, 5),
    "bomb.png": png(100, 100, zlib.compress(bytes(10**8))),
    "jpeg.jpg": jpeg(65_535, 65_535),
    "flat.jpg": jpeg(65_500, 1),
    "none.jpg": jpeg(0, 0),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(commands, good, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BOMBS[name])
    for command in (
        ["detect", good.model, path, "-o", tmp_path / "found"],
        ["compress", good.model, "--no-finetune", "--images", path, "-o", tmp_path / "out.onnx"],
    ):
        done = commands.run(tmp_path, *command)
        assert done.megabytes < 500, done


def test_the_largest_image_is_read_in_little_memory(commands, good, tmp_path):
    side = int(MOST_PIXELS**0.5)
    rows = zlib.compressobj(1)
    data = b"".join(rows.compress(bytes(1 + 3 * side)) for _ in range(side)) + rows.flush()
    path = tmp_path / "large.png"
    path.write_bytes(png(side, side, data))
    done = commands.run(tmp_path, "evaluate", good.model, "--images", path, "--against", good.model, "--json")
    assert done.status == 0, done
    path.write_bytes(png(side + 1, side + 1, data))
    assert "at most 100 million" in commands.refused(
        tmp_path, "evaluate", good.model, "--images", path, "--against", good.model
    )

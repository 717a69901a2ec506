import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxbin.errors import OnnxbinError
from onnxbin.images.source import ImageFiles, find_images, image_size, read_image


def write_image(path: Path, size: tuple[int, int] = (40, 30), **arguments: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(path, **arguments)
    return path


def one_line(error: pytest.ExceptionInfo[OnnxbinError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_folder_gives_its_images_sorted_and_nothing_else(tmp_path: Path) -> None:
    expected = [write_image(tmp_path / name) for name in ("a.jpg", "sub/b.PNG", "sub/deeper/c.jpeg", "z.png")]
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._a.jpg").write_bytes(b"resource fork")
    assert find_images(tmp_path) == sorted(expected)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OnnxbinError, match="no JPEG or PNG") as error:
        find_images(tmp_path)
    assert str(tmp_path) in one_line(error)


def test_a_coco_file_and_a_list_take_paths_relative_to_themselves(tmp_path: Path) -> None:
    image = write_image(tmp_path / "images" / "1.jpg")
    (tmp_path / "coco.json").write_text(json.dumps({"images": [{"id": 1, "file_name": "images/1.jpg"}]}))
    (tmp_path / "list.txt").write_text("images/1.jpg\n\n")
    assert find_images(tmp_path / "coco.json") == [image]
    assert find_images(tmp_path / "list.txt") == [image]
    assert find_images(image) == [image]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not a JSON file"),
        ("[]", "not a COCO file"),
        ('{"images": {}}', "not a COCO file"),
        ('{"images": [{"id": 1}]}', "not a COCO file"),
        ('{"images": [3]}', "not a COCO file"),
        ('{"images": []}', "lists no images"),
        ('{"images": [{"file_name": "gone.jpg"}]}', "1 of its 1 images are missing, first .*gone.jpg"),
    ],
)
def test_a_json_that_is_not_coco_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(OnnxbinError, match=complaint) as error:
        find_images(tmp_path / "labels.json")
    assert "labels.json" in one_line(error)


def test_binary_junk_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OnnxbinError, match="UTF-8"):
        find_images(tmp_path / "list.txt")


@pytest.mark.parametrize("name", ["gone", "gone.jpg"])
def test_a_missing_path_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(OnnxbinError, match=name):
        find_images(tmp_path / name)


def test_any_other_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "movie.mp4").write_bytes(b"x")
    with pytest.raises(OnnxbinError, match="expected a folder of images"):
        find_images(tmp_path / "movie.mp4")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_a_file_cut_short_is_named_when_opened(tmp_path: Path, suffix: str, kept: float) -> None:
    good = write_image(tmp_path / f"good{suffix}", (200, 200))
    data = good.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(OnnxbinError, match=f"cut{suffix}") as error:
        ImageFiles([good, cut])
    one_line(error)


def test_data_after_the_image_is_no_damage(tmp_path: Path) -> None:
    path = write_image(tmp_path / "motion.jpg")
    whole = read_image(path)
    assert image_size(path) == whole.shape[:2]
    path.write_bytes(path.read_bytes() + bytes(100_000))
    np.testing.assert_array_equal(ImageFiles([path])[0], whole)


def test_the_several_pictures_of_a_phone_are_one_image(tmp_path: Path) -> None:
    picture, depth = (Image.new("RGB", (40, 30), colour) for colour in ("red", "white"))
    picture.save(tmp_path / "portrait.jpg", format="MPO", save_all=True, append_images=[depth])
    pixels = ImageFiles([tmp_path / "portrait.jpg"])[0]
    assert pixels.shape == (30, 40, 3)
    assert (pixels[..., 0] > 200).all()
    assert (pixels[..., 1] < 50).all()


def test_damage_in_the_middle_is_named_when_decoded(tmp_path: Path) -> None:
    path = write_image(tmp_path / "holed.png", (200, 200))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(OnnxbinError, match=r"holed\.png: damaged"):
        ImageFiles([path])[0]


def test_a_text_file_named_jpg_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    with pytest.raises(OnnxbinError, match=r"page\.jpg: not a JPEG or PNG"):
        ImageFiles([tmp_path / "page.jpg"])


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "depth.png")
    with pytest.raises(OnnxbinError, match=r"depth\.png: more than 8 bits"):
        ImageFiles([tmp_path / "depth.png"])


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "LA"])
def test_every_8_bit_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    Image.fromarray(grey).convert(mode).save(tmp_path / "image.png")
    pixels = ImageFiles([tmp_path / "image.png"])[0]
    assert pixels.shape == (6, 8, 3)
    assert pixels.dtype == np.uint8
    if mode in ("L", "LA", "RGBA"):
        np.testing.assert_array_equal(pixels, np.repeat(grey[..., None], 3, axis=2))


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    half = np.zeros((20, 40, 3), np.uint8)
    half[:, :20, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(half).save(tmp_path / "phone.png", exif=exif)
    pixels = read_image(tmp_path / "phone.png")
    assert pixels.shape == (40, 20, 3)
    assert image_size(tmp_path / "phone.png") == (40, 20)
    assert (pixels[:20, :, 0] == 255).all()
    assert (pixels[20:, :, 0] == 0).all()


def test_large_jpegs_may_be_decoded_smaller_but_never_below_enough(tmp_path: Path) -> None:
    path = write_image(tmp_path / "large.jpg", (1600, 1200))
    assert read_image(path).shape == (1200, 1600, 3)
    assert read_image(path, enough=300).shape == (300, 400, 3)
    assert read_image(path, enough=301).shape == (600, 800, 3)


@pytest.mark.shared
def test_all_shared_photographs_pass_the_check(shared: Path) -> None:
    files = ImageFiles(find_images(shared / "data" / "photos"))
    assert len(files) == 1017
    assert len(find_images(shared / "data" / "pedestrians" / "val.json")) == 60

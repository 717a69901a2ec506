import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxbin.errors import OnnxbinError
from onnxbin.images import PROFILES, Geometry, ImageInput, Preprocessing
from onnxbin.images.source import Pixels


def plain(height: int, width: int, colour: tuple[int, int, int] = (200, 100, 50)) -> Pixels:
    return np.tile(np.array(colour, np.uint8), (height, width, 1))


IDENTITY = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def test_letterbox_geometry_by_hand() -> None:
    # 200 x 100 into 64 x 64: scale 0.32, so 64 x 32, 16 rows of padding above and below.
    target = ImageInput("x", 64, 64)
    tensor, geometry = Preprocessing("letterbox", pad=7, **IDENTITY).apply(plain(100, 200), target)
    assert geometry == Geometry(0.32, 0.32, 0, 16)
    assert (tensor[:, :16] == 7).all()
    assert (tensor[:, 48:] == 7).all()
    assert (tensor[0, 16:48] == 200).all()

    tensor, geometry = Preprocessing("letterbox-top-left", pad=7, **IDENTITY).apply(plain(100, 200), target)
    assert geometry == Geometry(0.32, 0.32, 0, 0)
    assert (tensor[0, :32] == 200).all()
    assert (tensor[:, 32:] == 7).all()

    tensor, geometry = Preprocessing("stretch", **IDENTITY).apply(plain(100, 200), target)
    assert geometry == Geometry(0.32, 0.64, 0, 0)
    assert (tensor[0] == 200).all()


def test_an_odd_row_of_padding_goes_below() -> None:
    # 64 x 31 in 64 x 64 leaves 33 rows: 16 above, 17 below, as OpenCV-based loaders round it.
    _, geometry = Preprocessing("letterbox").apply(plain(31, 64), ImageInput("x", 64, 64))
    assert geometry == Geometry(1, 1, 0, 16)


def test_letterbox_enlarges_small_images_and_handles_slivers() -> None:
    target = ImageInput("x", 64, 96)
    _, geometry = Preprocessing("letterbox").apply(plain(32, 32), target)
    assert geometry == Geometry(2, 2, 16, 0)
    tensor, geometry = Preprocessing("letterbox").apply(plain(1, 5000), target)
    assert tensor.shape == (3, 64, 96)
    assert geometry.scale_y == 1  # one row stays one row


def test_a_mark_is_where_the_geometry_says() -> None:
    pixels = plain(120, 90, (0, 0, 0))
    pixels[30:60, 45:75] = 255  # x 45..75, y 30..60
    for resize in ("stretch", "letterbox", "letterbox-top-left"):
        tensor, geometry = Preprocessing(resize, pad=0, **IDENTITY).apply(pixels, ImageInput("x", 240, 320))
        x1, y1, x2, y2 = geometry.to_input([45, 30, 75, 60])
        rows, columns = np.nonzero(tensor[0] > 127)
        assert (columns.min(), rows.min()) == pytest.approx((x1, y1), abs=1)
        assert (columns.max() + 1, rows.max() + 1) == pytest.approx((x2, y2), abs=1)


def test_mean_std_and_channel_order_against_numpy() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    mean, std = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
    tensor, _ = Preprocessing("stretch", channels="bgr", mean=mean, std=std).apply(
        pixels, ImageInput("x", 8, 8)
    )
    assert tensor.dtype == np.float32
    blue = (pixels[:, :, 2].astype(np.float64) - 103.53) / 57.375
    red = (pixels[:, :, 0].astype(np.float64) - 123.675) / 58.395
    np.testing.assert_allclose(tensor[0], blue, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tensor[2], red, rtol=1e-5, atol=1e-6)


def test_nhwc_is_the_same_tensor_with_channels_last() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    first, _ = Preprocessing("letterbox").apply(pixels, ImageInput("x", 24, 16, "NCHW"))
    last, _ = Preprocessing("letterbox").apply(pixels, ImageInput("x", 24, 16, "NHWC"))
    np.testing.assert_array_equal(first, last.transpose(2, 0, 1))


# A red image, 40 wide and 20 high, through the contracts of published models: the tensor's value in the
# middle and in the first row of a square input, three channels each.
@pytest.mark.parametrize(
    ("profile", "middle", "top"),
    [
        ("yolov4", (1, 0, 0), (1, 0, 0)),
        ("ssd-mobilenet", (127 / 128, -1, -1), (127 / 128, -1, -1)),
        ("yolov8", (1, 0, 0), (114 / 255,) * 3),
        ("yolov5", (1, 0, 0), (114 / 255,) * 3),
        ("yolox", (114, 114, 114), (0, 0, 255)),
        (
            "nanodet",
            (-103.53 / 57.375, -116.28 / 57.12, 131.325 / 58.395),
            (-103.53 / 57.375, -116.28 / 57.12, -123.675 / 58.395),
        ),
        ("fastestdet", (0, 0, 1), (0, 0, 1)),
    ],
)
def test_profiles_give_what_the_contracts_say(
    profile: str, middle: tuple[float, ...], top: tuple[float, ...]
) -> None:
    tensor, _ = PROFILES[profile].apply(plain(20, 40, (255, 0, 0)), ImageInput("x", 64, 64))
    np.testing.assert_allclose(tensor[:, 40 if profile == "yolox" else 32, 32], middle, rtol=1e-5)
    np.testing.assert_allclose(tensor[:, 0, 32], top, rtol=1e-5)


@pytest.mark.parametrize("preprocessing", PROFILES.values(), ids=PROFILES)
def test_json_round_trip(preprocessing: Preprocessing) -> None:
    assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"resize": "stretch"}',
        PROFILES["yolov8"].to_json().replace("letterbox", "crop"),
        PROFILES["yolov8"].to_json().replace("114", "300"),
        PROFILES["yolov8"].to_json().replace("114", '"grey"'),
        PROFILES["yolov8"].to_json().replace("rgb", "grey"),
        PROFILES["yolov8"].to_json().replace("[255.0, 255.0, 255.0]", "[255.0, 0.0, 255.0]"),
        PROFILES["yolov8"].to_json().replace("[255.0, 255.0, 255.0]", "[255.0]"),
        PROFILES["yolov8"].to_json().replace("[255.0, 255.0, 255.0]", "[NaN, 1, 1]"),
        PROFILES["yolov8"].to_json().replace("[255.0, 255.0, 255.0]", "7"),
    ],
)
def test_foreign_json_is_one_clear_line(text: str) -> None:
    with pytest.raises(OnnxbinError, match="preprocessing") as error:
        Preprocessing.from_json(text)
    assert "\n" not in str(error.value)


@given(
    size=st.tuples(st.integers(16, 2000), st.integers(16, 2000)),
    target=st.tuples(st.integers(32, 700), st.integers(32, 700)),
    resize=st.sampled_from(["stretch", "letterbox", "letterbox-top-left"]),
    corners=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_boxes_go_there_and_back_and_stay_inside(
    size: tuple[int, int], target: tuple[int, int], resize: str, corners: list[float]
) -> None:
    height, width = size
    _, geometry = Preprocessing(resize).apply(plain(height, width), ImageInput("x", *target))
    box = np.array(corners) * (width, height, width, height)
    there = geometry.to_input(box)
    assert (there >= -1e-3).all()
    assert (there <= np.array([target[1], target[0]] * 2) + 1e-3).all()
    np.testing.assert_allclose(geometry.to_image(there), box, atol=2e-3 * max(size) / min(*target, *size))

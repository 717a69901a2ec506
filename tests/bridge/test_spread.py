"""The unit of errors, against NumPy's variance and against what a score and a coordinate should count."""

import numpy as np
import pytest
import torch
from bridge.onnx_models import make, random
from onnx import helper

from onnxbin.bridge import GraphModule
from onnxbin.bridge.emphasis import Emphasis
from onnxbin.bridge.engine import Engine
from onnxbin.bridge.spread import Spread
from onnxbin.detection import Certainty, emphasis


class Fixed:
    """Images that are given, as a graph without operations hands them on."""

    def __init__(self, images):
        self._images = images

    def __len__(self):
        return len(self._images)

    def tensor(self, index, rng):  # noqa: ARG002
        return self._images[index]


def emphasis_of(images, boxes, confidence=np.ones_like):
    """For a detector of this confidence in each element of y, of which some channels decide boxes."""

    def certainty(outputs):
        (y,) = outputs
        channels = boxes.reshape(-1, *([1] * (y.ndim - 2)))
        return [Certainty(confidence(y).astype(np.float32), np.broadcast_to(channels, y.shape))]

    usual = [emphasis.usual_confidence(certainty([image[None]])) for image in images]
    return Emphasis(["y"], certainty, emphasis.Emphasis(usual), {"y": boxes})


def spread_of(images, emphasis=None):
    """Of the tensor y, which is the input."""
    shape = [1, *images.shape[1:]]
    teacher = GraphModule(make([helper.make_node("Identity", ["x"], ["y"])], {"x": shape}, ["y"], {}))
    return Spread.of(teacher, Fixed(images), ["y"], Engine("cpu"), emphasis)


def error(found, wanted):
    images = np.asarray(wanted)
    return float(
        spread_of(images).relative_error("y", torch.from_numpy(np.array(found)), torch.from_numpy(images))
    )


@pytest.mark.parametrize(
    ("shape", "others"),
    [((8, 5, 4, 3), (0, 2, 3)), ((32, 500, 4), (0, 1)), ((32, 4, 500), (0, 2)), ((9, 3), (0,))],
)
def test_predicting_the_mean_is_an_error_of_one(shape, others):
    wanted = random(*shape) * 3 + 7
    mean = np.broadcast_to(wanted.mean(others, keepdims=True), shape)
    assert 0.9 < error(mean, wanted) < 1  # a little less: the floor of the variance
    assert error(wanted, wanted) == 0


def test_units_do_not_matter_and_constant_channels_do_no_harm():
    wanted, found = random(4, 3, 4, 4), random(4, 3, 4, 4, seed=1)
    assert error(found * 1e3, wanted * 1e3) == pytest.approx(error(found, wanted), rel=1e-4)
    wanted[:, 1] = 5.0
    assert np.isfinite(error(found, wanted))
    assert np.isfinite(error(found, np.ones((4, 3, 4, 4), np.float32)))


def test_a_score_counts_as_much_as_a_coordinate():
    """Decoded outputs [N, 4 + 1, cells]: one deviation off in any channel is one fifth of the mean."""
    unit = np.array([100.0, 60.0, 20.0, 40.0, 0.1], np.float32)[None, :, None]
    wanted = random(32, 5, 400) * unit
    for channel in range(5):
        found = wanted.copy()
        found[:, channel] += wanted[:, channel].std()
        assert error(found, wanted) == pytest.approx(1 / 5, rel=0.02)


def test_the_error_of_a_batch_is_the_mean_of_its_images_errors():
    wanted, found = random(6, 3, 4, 4), random(6, 3, 4, 4, seed=1)
    spread = spread_of(wanted)
    each = [
        spread.relative_error("y", torch.from_numpy(f)[None], torch.from_numpy(w)[None])
        for f, w in zip(found, wanted, strict=True)
    ]
    whole = spread.relative_error("y", torch.from_numpy(found), torch.from_numpy(wanted))
    assert float(whole) == pytest.approx(float(np.mean(each)), rel=1e-5)


def test_scores_of_a_detector_share_a_unit_and_so_do_its_boxes():
    """Rows: two classes that vary by 1 and by a hundredth, and boxes in pixels."""
    wanted = random(32, 6, 400)
    wanted[:, 1] *= 0.01
    wanted[:, 2:] *= 100
    boxes = np.array([False, False, True, True, True, True])
    found = wanted + np.float32(0.1) * random(32, 6, 400, seed=1)
    with_roles = float(
        spread_of(wanted, emphasis_of(wanted, boxes)).relative_error(
            "y", torch.from_numpy(found), torch.from_numpy(wanted)
        )
    )
    squares = np.square(found - wanted).mean((0, 2))
    expected = [squares[group] / wanted[:, group].var((0, 2)).mean() for group in ([0, 1], [2, 3, 4, 5])]
    assert with_roles == pytest.approx(np.mean([group.mean() for group in expected]), rel=2e-2)
    assert error(found, wanted) > 100 * with_roles, "a class that is hardly seen has an error of its own"


def test_what_varies_from_place_to_place_only_is_no_unit():
    """Boxes and a score [5, 300]. Boxes are where their cells are: that is not predicted."""
    offset = 10 * random(32, 5, 300)
    wanted = offset + np.linspace(0, 600, 300, dtype=np.float32)
    wanted[:, 4] = offset[:, 4]
    boxes = np.array([True, True, True, True, False])

    def error_of(count, by):
        spread = spread_of(wanted[:count], emphasis_of(wanted[:count], boxes))
        found, expected = (torch.from_numpy(np.asarray(x)) for x in (wanted + np.float32(by), wanted))
        return float(spread.relative_error("y", found, expected))

    assert error_of(32, by=5) == pytest.approx(25 / offset.var(), rel=0.02)
    assert error_of(1, by=5) < 0.5 * error_of(32, by=5), "one image alone does not tell"


@pytest.mark.parametrize("shape", [(32, 9, 400), (32, 9, 20, 20)])
def test_what_is_weighted_is_of_one_unit_too(shape):
    """Four rows of boxes in pixels and five of scores, which are near zero but in one place of fifty."""
    rng = np.random.default_rng(0)
    sure = rng.random((shape[0], 1, *shape[2:])) < 0.02
    wanted = np.where(sure, random(*shape), 0.01 * random(*shape, seed=1)).astype(np.float32)
    wanted[:, :4] = 50 * random(*shape, seed=2)[:, :4]
    boxes = np.arange(9) < 4

    def confidence(y):
        best = np.abs(y[:, 4:]).max(1, keepdims=True)
        return np.broadcast_to(np.where(best > 0.1, best, 0.01), y.shape)

    emphasis = emphasis_of(wanted, boxes, confidence)
    spread = spread_of(wanted, emphasis)

    def error_without(channels):
        found = wanted.copy()
        found[:, channels] = found[:, channels].mean((0, *range(2, len(shape))), keepdims=True)
        found, expected = torch.from_numpy(found), torch.from_numpy(wanted)
        return float(spread.relative_error("y", found, expected, emphasis({"y": expected})["y"]))

    assert error_without(boxes) == pytest.approx(0.5, rel=0.1)
    # Half the difference of two images is less where weights follow one of them.
    assert error_without(~boxes) == pytest.approx(0.5 if len(shape) > 3 else 1.0, rel=0.1)

import numpy as np

from onnxbin.images.augment import ZOOM, augment


def gradient(height: int, width: int) -> np.ndarray:
    """Red grows from left to right, green from top to bottom, blue is full (no padding has that)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 200 // width, y * 200 // height, np.full_like(x, 255)], -1).astype(np.uint8)


def test_same_seed_same_image_other_seed_other_image() -> None:
    pixels = gradient(60, 80)
    first, again, other = (augment(pixels, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_the_image_stays_upright_and_is_mirrored_half_of_the_time() -> None:
    mirrored = 0
    for seed in range(200):
        changed = augment(gradient(60, 80), np.random.default_rng(seed)).astype(int)
        inside = changed[..., 2] > 180  # not the padding
        rows, columns = np.nonzero(inside)
        assert np.corrcoef(rows, changed[inside][:, 1])[0, 1] > 0.9
        across = np.corrcoef(columns, changed[inside][:, 0])[0, 1]
        assert abs(across) > 0.9
        mirrored += across < 0
    assert 70 <= mirrored <= 130  # 100 +- 4 standard deviations


def test_zoom_and_colour_stay_mild() -> None:
    grey = np.full((100, 100, 3), 128, np.uint8)
    for seed in range(100):
        changed = augment(grey, np.random.default_rng(seed))
        area = changed.shape[0] * changed.shape[1] / 10_000
        assert ZOOM[1] ** -2 * 0.98 <= area <= ZOOM[0] ** -2 * 1.02
        assert 90 <= changed.mean() <= 165


def test_tiny_images_survive() -> None:
    for seed in range(50):
        assert min(augment(gradient(1, 2), np.random.default_rng(seed)).shape) >= 1

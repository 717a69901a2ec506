import numpy as np
import pytest

from onnxbin.images import RenderedImages

IMAGES = RenderedImages(24, 256, 256, seed=5)


def test_seed_index_and_size_decide_the_image() -> None:
    np.testing.assert_array_equal(RenderedImages(100, 256, 256, seed=5)[3], IMAGES[3])
    assert (RenderedImages(24, 256, 256, seed=6)[3] != IMAGES[3]).any()
    assert (IMAGES[4] != IMAGES[3]).any()
    assert RenderedImages(1, 50, 90)[0].shape == (50, 90, 3)
    with pytest.raises(IndexError):
        IMAGES[24]


def test_the_spectrum_falls_as_that_of_photographs() -> None:
    # Natural images: amplitude ~ 1/f (Field, 1987), a little steeper or flatter from set to set.
    window = np.outer(np.hanning(256), np.hanning(256))
    power = np.zeros((256, 256))
    for i in range(len(IMAGES)):
        grey = IMAGES[i].mean(-1)
        power += np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(256, 1 / 256), np.fft.fftfreq(256, 1 / 256)))
    rings = np.arange(4, 60)
    profile = [power[(radius >= r - 0.5) & (radius < r + 0.5)].mean() for r in rings]
    slope = np.polyfit(np.log(rings), np.log(profile), 1)[0]
    assert -2.9 < slope < -1.9  # twice that of the amplitude; the shared photographs have -2.4


def test_images_have_colour_contrast_and_edges() -> None:
    pixels = np.stack([IMAGES[i] for i in range(len(IMAGES))]).astype(float)
    assert 60 < pixels.mean() < 180
    assert pixels.std(axis=(1, 2, 3)).min() > 20
    assert np.abs(pixels[..., 0] - pixels[..., 2]).mean() > 5
    # Occlusion makes derivatives heavy-tailed: most are small, a few large (a Gaussian has kurtosis 3).
    derivative = np.diff(pixels.mean(-1), axis=2)
    assert (derivative**4).mean() / (derivative**2).mean() ** 2 > 10

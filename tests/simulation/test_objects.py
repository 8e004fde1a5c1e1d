import sys

import numpy as np
import pytest

from ptycho.base.errors import BackendNotInstalledError
from ptycho.simulation.objects import OBJECTS, dead_leaves, lines, picture, siemens


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("shape", [(96, 130), (41, 40)])
def test_every_object_is_a_passive_transmission(name, shape):
    object_ = OBJECTS[name](shape, np.random.default_rng(0))
    assert object_.shape == shape
    assert object_.dtype == np.complex64
    assert np.abs(object_).min() > 0
    assert np.abs(object_).max() <= 1 + 1e-6
    assert np.abs(np.angle(object_)).max() < 2, "the phase must stay far from a wrap"
    assert np.abs(object_).std() > 0.03
    assert np.angle(object_).std() > 0.03


@pytest.mark.parametrize("name", OBJECTS)
def test_the_generator_decides_the_object(name):
    once, again, other = (OBJECTS[name]((80, 80), np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


def test_lines_fill_the_stated_ranges_at_every_size():
    for shape in ((128, 128), (256, 300)):
        object_ = lines(shape, np.random.default_rng(1))
        assert 0.2 < np.abs(object_).min() < 0.5
        assert np.abs(object_).max() == pytest.approx(1)
        assert -0.7 < np.angle(object_).min() < 0
        assert 0.5 < np.angle(object_).max() < 1.1


def test_dead_leaves_follow_the_power_law_of_natural_images():
    leaves = np.abs([dead_leaves((256, 256), np.random.default_rng(seed)) for seed in range(4)])
    window = np.outer(np.hanning(256), np.hanning(256))  # the edge of the picture would add a spectrum of its own
    power = np.sum(np.abs(np.fft.fft2(window * (leaves - leaves.mean(axis=(1, 2), keepdims=True)))) ** 2, axis=0)
    radius = np.hypot(*np.meshgrid(*[np.fft.fftfreq(256, 1 / 256)] * 2))
    rings = np.array([4, 8, 16, 32])
    ring_power = [power[(radius >= ring) & (radius < 1.4 * ring)].mean() for ring in rings]
    slope = np.polyfit(np.log(rings), np.log(ring_power), 1)[0]
    assert -4 < slope < -2, "a scene of natural sizes has a slope of about -3"


def test_the_siemens_star_repeats_36_times_around():
    star = np.abs(siemens((400, 400), np.random.default_rng(2)))
    angle = np.linspace(0, 2 * np.pi, 1440, endpoint=False)
    y, x = 199.5 + 150 * np.sin(angle), 199.5 + 150 * np.cos(angle)
    around = star[np.round(y).astype(int), np.round(x).astype(int)]
    assert np.argmax(np.abs(np.fft.rfft(around - around.mean()))) == 36


def test_pictures_come_out_of_the_installed_wheel(monkeypatch):
    import skimage.data._fetchers as fetchers

    monkeypatch.setattr(fetchers, "_image_fetcher", None)  # without it, anything that is not in the wheel is an error
    picture((64, 64), np.random.default_rng(0))


def test_pictures_without_scikit_image_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(BackendNotInstalledError, match=r"scikit-image.*ptychopinn\[report\]"):
        picture((64, 64), np.random.default_rng(0))

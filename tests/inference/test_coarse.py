"""The coarse scan: half the detector, pixels twice as large, the same counts."""

import dataclasses

import pytest
import torch

from ptycho_torch.inference.coarse import coarser, coarser_scan, corrected
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from tests.laws.contracts import random_complex
from tests.laws.scans import on_device, small_scan


def counts(scan, placement, at):
    """Return what every frame should count."""
    likelihood = Likelihood(scan, placement, held_out_fraction=0.0)
    return torch.cat([likelihood.expected(at, field) for *_, field in likelihood.fields(at)])


def smooth_object(shape, pixel, highest):
    """Return a sum of plane waves of at most ``highest`` cycles per fine px, on pixels ``pixel`` fine px apart."""
    frequencies = (
        (torch.rand(6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5) * 2 * highest
    )
    y, x = (torch.arange(side, dtype=torch.float64) * pixel for side in shape)
    waves = [torch.exp(2j * torch.pi * (fy * y[:, None] + fx * x)) for fy, fx in frequencies]
    return (1 + 0.2 * sum(waves)).to(torch.complex64)


def band_limited(probe, half_width):
    """Return the probe with all light outside the middle 2 ``half_width`` pixels of the detector removed."""
    n = probe.shape[-1]
    turns = torch.fft.fftfreq(n, 1 / n).abs()
    kept = (turns[:, None] < half_width) & (turns < half_width)
    return torch.fft.ifft2(torch.fft.fft2(probe) * kept)


@pytest.mark.parametrize("size", [32, 36, 30])
def test_light_in_the_middle_of_the_detector_is_modelled_without_loss(size):
    acquisition = small_scan(N=size)
    scan, placement, _ = on_device(acquisition)
    small, small_placement = coarser_scan(scan, placement)
    # A patch is no period of a plane wave: its spectrum has tails, which the probe's vanishing rim keeps small.
    y = torch.arange(size) - size // 2
    rim = torch.exp(-((y[:, None] ** 2 + y**2) / (size / 5) ** 2).double()).to(torch.complex64)[None]
    probe = band_limited(1e2 * rim, size // 6)
    at = Estimate(smooth_object(placement.object_shape, 1, 0.05), probe)
    fine, coarse = counts(scan, placement, at), counts(small, small_placement, coarser(at))
    first = size // 2 - size // 2 // 2
    seen = fine[:, first : first + size // 2, first : first + size // 2]
    assert seen.sum() > 0.9999 * fine.sum()
    assert (coarse - seen).abs().max() < 2e-3 * seen.max()


def test_the_coarse_scan_keeps_its_counts_and_mask():
    acquisition = small_scan(n_dead_pixels=30)
    scan, placement, _ = on_device(acquisition)
    small, small_placement = coarser_scan(scan, placement)
    everywhere = torch.arange(len(scan))
    assert torch.equal(small.counts(everywhere), scan.counts(everywhere)[:, 8:24, 8:24])
    assert torch.equal(small.mask, scan.mask[8:24, 8:24])
    torch.testing.assert_close(2 * small_placement.positions, placement.positions, rtol=0, atol=1e-5)
    corners = small_placement.corners
    assert (corners >= 0).all()
    assert (corners + small.size <= torch.tensor(small_placement.object_shape)).all()


@pytest.mark.parametrize("size", [32, 36, 30])
def test_a_probe_that_fits_comes_back(size):
    _, placement, _ = on_device(small_scan(N=size))
    fine = Estimate(
        smooth_object(placement.object_shape, 1, 0.03), band_limited(random_complex((2, size, size), 0), size // 4 - 1)
    )
    small = coarser(fine)
    dark = fine.times(0.0)
    torch.testing.assert_close(corrected(dark, small).probe, fine.probe, rtol=0, atol=1e-5)
    power = [float(at.probe.abs().square().sum()) for at in (fine, small)]
    assert power[0] == pytest.approx(power[1], rel=1e-5)


def test_a_smooth_object_comes_back():
    _, placement, _ = on_device(small_scan())
    fine = Estimate(smooth_object(placement.object_shape, 1, 0.03), random_complex((1, 32, 32), 0))
    found = corrected(fine.times(0.0), coarser(fine)).object_
    inner = (slice(4, -4), slice(4, -4))
    error, half_a_pixel_off = (
        (image - fine.object_)[inner].abs().max() for image in (found, (found + found.roll(1, 0)) / 2)
    )
    assert error < half_a_pixel_off / 4


def test_what_the_coarse_scan_leaves_alone_keeps_its_detail():
    _, placement, _ = on_device(small_scan())
    fine = Estimate(random_complex(placement.object_shape, 1), random_complex((1, 32, 32), 0))
    same = corrected(fine, coarser(fine).times(0.0))
    torch.testing.assert_close(same.object_, fine.object_)
    torch.testing.assert_close(same.probe, fine.probe)


def test_all_that_is_assumed_of_the_scan_goes_along():
    acquisition = small_scan()
    scan, placement, _ = on_device(acquisition)
    n = len(scan)
    at = Estimate(
        smooth_object(placement.object_shape, 1, 0.03),
        torch.from_numpy(acquisition.probe),
        positions=placement.positions + 0.4,
        gain=torch.full((n,), 1.5),
        haze=torch.tensor(0.3),
        variations=torch.from_numpy(acquisition.probe),
        weights=torch.linspace(-0.1, 0.1, n)[:, None],
    )
    small_scan_, small_placement = coarser_scan(scan, placement)
    fine, coarse = counts(scan, placement, at), counts(small_scan_, small_placement, coarser(at))
    difference = (coarse - fine[:, 8:24, 8:24]).abs().sum() / fine.sum()
    assert difference < 0.02
    for name in ("positions", "gain", "weights"):
        without = dataclasses.replace(at, **{name: None, **({"variations": None} if name == "weights" else {})})
        wrong = counts(small_scan_, small_placement, coarser(without))
        assert (wrong - fine[:, 8:24, 8:24]).abs().sum() / fine.sum() > 2 * difference, name

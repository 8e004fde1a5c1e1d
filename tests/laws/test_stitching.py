"""Stitching is the adjoint of cutting, divided by the light: constants and objects come back."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ptycho.optics.shift import fourier_shift
from ptycho_torch.physics.forward import merge, place_on_canvas, probe_weight, weighted
from tests.laws.contracts import ROUNDING, random_complex

SIZE = 16


def positions_of(seed, n=6, spread=20.0, whole=False):
    drawn = torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * spread
    return drawn.round() if whole else drawn


def rounding(coverage, n_patches):
    """Rounding of a merged pixel: sums are exact to the largest weight that entered them, and are divided by it."""
    return ROUNDING * n_patches**0.5 * coverage.max() / coverage


def beam(size, sigma):
    """A round Gaussian beam: nothing at its edge, nothing near the Nyquist frequency."""
    axis = torch.arange(size) - size // 2
    return torch.exp(-(axis[:, None] ** 2 + axis**2) / (4 * sigma**2)).to(torch.complex64)[None]


@given(
    seed=st.integers(0, 999),
    n_modes=st.integers(1, 2),
    whole=st.booleans(),
    amplitude=st.floats(0.05, 3),
    phase=st.floats(-4, 4),
)
def test_patches_of_one_constant_give_that_constant(seed, n_modes, whole, amplitude, phase):
    placement, _ = place_on_canvas(positions_of(seed, whole=whole), SIZE)
    constant = amplitude * np.exp(1j * phase)
    patches = torch.full((6, SIZE, SIZE), constant, dtype=torch.complex64)
    weight = probe_weight(random_complex((n_modes, SIZE, SIZE), seed))
    canvas, coverage = merge(patches, weight, placement.look(), placement.place())
    lit = coverage > 1e-3 * coverage.max()
    assert lit.any()
    assert ((canvas - constant).abs() / amplitude <= rounding(coverage, 6))[lit].all()


def test_what_no_light_reached_is_transparent_and_has_no_coverage():
    placement, _ = place_on_canvas(torch.tensor([[20.0, 20.0], [60.0, 50.0]], dtype=torch.float64), SIZE)
    weight = probe_weight(random_complex((1, SIZE, SIZE), 0))
    canvas, coverage = merge(random_complex((2, SIZE, SIZE), 1), weight, placement.look(), placement.place())
    between = torch.ones(placement.object_shape, dtype=torch.bool)
    between[:SIZE, :SIZE] = between[-SIZE:, -SIZE:] = False
    assert (canvas[between] == 1).all()
    assert (coverage[between] == 0).all()


@given(seed=st.integers(0, 999))
def test_patches_cut_at_whole_pixels_give_the_object_under_any_probe(seed):
    placement, _ = place_on_canvas(positions_of(seed, whole=True), SIZE)
    look, place = placement.look(), placement.place()
    object_ = random_complex(placement.object_shape, seed)
    weight = probe_weight(random_complex((2, SIZE, SIZE), seed + 1))
    canvas, coverage = merge(look(object_), weight, look, place)
    lit = coverage > 1e-3 * coverage.max()
    assert ((canvas - object_).abs() <= object_.abs().max() * rounding(coverage, 6))[lit].all()


@given(seed=st.integers(0, 99))
def test_patches_cut_at_sub_pixel_positions_give_the_object(seed):
    size, side = 32, 96
    rng = np.random.default_rng(seed)
    turns = np.fft.fftfreq(side)
    low = np.hypot(turns[:, None], turns) < 0.12
    object_ = np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side)) + 1j * rng.normal(size=(side, side))) * low)
    object_ = (1 + object_ / object_.std()).astype(np.complex64)
    positions = rng.uniform(size // 2 + 4, side - size // 2 - 4, (12, 2))
    # Patch j shows O(r_j - N / 2 + i): the object moved by minus the remainder, cut at whole pixels.
    moved = fourier_shift(object_, -(positions - np.floor(positions)))
    corners = np.floor(positions).astype(int) - size // 2
    patches = np.stack([m[y : y + size, x : x + size] for m, (y, x) in zip(moved, corners, strict=True)])
    placement, origin = place_on_canvas(torch.from_numpy(positions), size)
    weight = probe_weight(beam(size, 2.5))
    canvas, coverage = merge(torch.from_numpy(patches), weight, placement.look(), placement.place())
    top, left = origin.tolist()
    height, width = placement.object_shape
    truth = torch.from_numpy(object_[top : top + height, left : left + width])
    lit = coverage > 1e-3 * coverage.max()
    assert ((canvas - truth).abs() <= truth.abs().max() * rounding(coverage, 12))[lit].all()


def test_numerator_and_coverage_are_sums_over_any_split_of_the_patches():
    placement, _ = place_on_canvas(positions_of(7), SIZE)
    patches, weight = random_complex((6, SIZE, SIZE), 8), probe_weight(random_complex((1, SIZE, SIZE), 9))
    whole = [placement.look().adjoint(moved) for moved in weighted(patches, weight, placement.place())]
    summed = [torch.zeros_like(canvas) for canvas in whole]
    for some in (slice(0, 2), slice(2, 6)):
        part = placement.part(some)
        for canvas, moved in zip(summed, weighted(patches[some], weight, part.place()), strict=True):
            assert part.look().add_to(canvas, moved) is canvas
    torch.testing.assert_close(summed, whole)


def test_the_canvas_is_the_smallest_that_holds_the_patches():
    positions = torch.tensor([[10.7, 3.2], [12.0, 9.9]], dtype=torch.float64)
    placement, origin = place_on_canvas(positions, SIZE)
    assert origin.tolist() == [10 - 8, 3 - 8]
    assert placement.object_shape == (2 + SIZE, 6 + SIZE)
    assert placement.corners.tolist() == [[0, 0], [2, 6]]
    torch.testing.assert_close(placement.remainder, torch.tensor([[0.7, 0.2], [0.0, 0.9]]))

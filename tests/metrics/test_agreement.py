import numpy as np
import pytest

from ptycho.assembly.reference import Reference
from ptycho.base.errors import DataError
from ptycho.metrics.agreement import agreement, apart
from ptycho.metrics.frc import fourier_ring_correlation

SIDE, SIGMA = 128, 0.05  # px; standard deviation of a complex pixel of the whole


@pytest.fixture(scope="module")
def truth(smooth_object):
    return smooth_object(0, SIDE, 0)


def noisy(truth, seed, sigma):
    rng = np.random.default_rng(seed)
    noise = (rng.normal(size=truth.shape) + 1j * rng.normal(size=truth.shape)) * sigma / np.sqrt(2)
    return (truth + noise).astype(np.complex64)


def drawn(truth, sigma=SIGMA):
    """Errors of the whole as they would be drawn."""
    return np.stack([noisy(truth, seed, sigma) - truth for seed in range(10, 18)])


def half(truth, seed, angle=0.0):
    """Half the frames have twice the variance."""
    return Reference(
        np.complex64(np.exp(1j * angle)) * noisy(truth, seed, 2**0.5 * SIGMA),
        np.zeros(2),
        np.ones(truth.shape, np.float32),
    )


def test_halves_with_white_noise_agree_as_far_as_the_limit_says(truth):
    found = agreement(half(truth, 1), half(truth, 2), drawn(truth))
    weights = found.frc.n_pixels
    gap = found.frc.correlation - found.limit_between_halves
    assert abs(np.average(gap, weights=weights)) < 0.02
    assert np.abs(gap[found.frc.frequency < 0.35]).max() < 0.05
    inner = slice(8, -8)
    against_truth = fourier_ring_correlation(
        ((half(truth, 1).object_ + half(truth, 2).object_) / 2)[inner, inner], truth[inner, inner]
    )
    at = np.interp(against_truth.frequency, found.frc.frequency, found.limit_against_truth)
    low = against_truth.frequency < 0.35
    np.testing.assert_allclose(against_truth.correlation[low], at[low], atol=0.05)


def test_their_difference_is_of_amplitudes_and_phases(truth):
    other = half(truth, 2)
    other.object_[60:70, 40:50] *= 1.5
    other.object_[20:30, 40:50] *= np.exp(0.5j)
    agreed = agreement(half(truth, 1, 2.0), other, drawn(truth))
    found = agreed.difference
    assert not agreed.mask[0].any(), "the rim is not judged"
    assert agreed.mask[8:-8, 8:-8].all()
    assert not found[~agreed.mask].any()
    louder, turned = found[60:70, 40:50].mean(), found[20:30, 40:50].mean()
    assert louder.real == pytest.approx(-0.5 * np.abs(truth[60:70, 40:50]).mean(), rel=0.15)
    assert abs(louder.imag) < 0.1 * abs(louder.real)
    assert turned.imag == pytest.approx(-np.sin(0.5) * np.abs(truth[20:30, 40:50]).mean(), rel=0.15)


def test_twice_the_noise_lowers_every_limit(truth):
    one, twice = (agreement(half(truth, 1), half(truth, 2), drawn(truth, s)) for s in (SIGMA, 2 * SIGMA))
    for name in ("limit_between_halves", "limit_against_truth"):
        above, below = getattr(one, name), getattr(twice, name)
        assert ((below >= 0) & (below <= above) & (above <= 1)).all()
    assert (one.limit_between_halves <= one.limit_against_truth).all()


def test_halves_that_share_nothing_are_refused(truth):
    away = Reference(half(truth, 2).object_, np.array([500.0, 0.0]), np.ones(truth.shape, np.float32))
    with pytest.raises(DataError, match="share no covered pixel"):
        agreement(half(truth, 1), away, drawn(truth))


def test_objects_apart_by_what_is_free_are_the_same(truth):
    y, x = np.mgrid[:SIDE, :SIDE]
    turn = 1.1 * np.exp(1j * (0.4 + 0.003 * y - 0.002 * x))
    ones = np.ones(truth.shape, np.float32)
    turned, whole = (Reference(o.astype(np.complex64), np.zeros(2), ones) for o in (truth * turn, truth))
    difference, mask = apart(turned, whole)
    assert mask[8:-8, 8:-8].all()
    assert not difference[~mask].any()
    assert np.abs(difference).max() < 1e-3
    louder = Reference(whole.object_.copy(), np.zeros(2), ones)
    louder.object_[60:70, 40:50] *= 1.5
    more = apart(louder, whole)[0][60:70, 40:50].mean()
    assert more.real == pytest.approx(0.5 * np.abs(truth[60:70, 40:50]).mean(), rel=0.15)

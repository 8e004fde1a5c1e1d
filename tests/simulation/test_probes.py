import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.base.errors import ConfigError
from ptycho.optics.probe import probe_diameter
from ptycho.simulation.probes import PROBES, aperture, gaussian, modes

few = settings(max_examples=25, deadline=None)


@few
@given(
    name=st.sampled_from(sorted(PROBES)),
    half=st.integers(8, 48),
    photons=st.floats(1e2, 1e9),
    n_modes=st.integers(1, 6),
    power=st.floats(0.05, 1.0),
)
def test_modes_are_orthogonal_and_share_the_photons(name, half, photons, n_modes, power):
    probe = modes(PROBES[name](2 * half, photons), n_modes, power)
    assert probe.shape == (n_modes, 2 * half, 2 * half)
    assert probe.dtype == np.complex64
    flat = probe.reshape(n_modes, -1).astype(np.complex128)
    gram = flat @ flat.conj().T
    counts = np.diag(gram).real
    assert counts.sum() == pytest.approx(photons, rel=1e-5)
    np.testing.assert_allclose(counts[1:] / counts[:-1], power, rtol=1e-4)
    normalised = gram / np.sqrt(np.outer(counts, counts))
    np.testing.assert_allclose(normalised, np.eye(n_modes), atol=1e-4)


@pytest.mark.parametrize("name", PROBES)
def test_the_first_mode_is_the_probe_itself(name):
    probe = PROBES[name](64, 1e4)
    first = modes(probe, 3)[0]
    np.testing.assert_allclose(first / np.linalg.norm(first), probe[0] / np.linalg.norm(probe), atol=1e-5)


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("N", [32, 64, 128])
def test_probes_are_about_half_a_frame_wide_and_centred(name, N):
    probe = PROBES[name](N, 1.0)
    assert N / 2.6 < probe_diameter(probe) < N / 1.6
    intensity = np.abs(probe[0]) ** 2
    centre = [np.sum(intensity * index) / intensity.sum() for index in np.indices((N, N))]
    np.testing.assert_allclose(centre, N // 2, atol=0.05)


def test_the_aperture_has_two_radians_at_its_rim():
    probe = aperture(64, 1.0)[0]
    assert np.angle(probe[32, 32 + 16] / probe[32, 32]) == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize(("n_modes", "power"), [(0, 0.5), (2, 0.0), (2, 1.5), (2, float("nan"))])
def test_impossible_modes_are_refused(n_modes, power):
    with pytest.raises(ConfigError, match="at least one mode"):
        modes(gaussian(32, 1.0), n_modes, power)

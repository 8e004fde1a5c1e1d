"""Light is counted, not made: Parseval, incoherent modes."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ptycho_torch.physics.forward import detector, place_on_canvas
from tests.laws.contracts import ROUNDING, random_complex


@given(seed=st.integers(0, 999), n_modes=st.integers(1, 3), size=st.sampled_from([8, 16, 24]))
def test_every_frame_holds_the_light_of_its_exit_waves(seed, n_modes, size):
    generator = torch.Generator().manual_seed(seed)
    positions = 40 * torch.rand(5, 2, dtype=torch.float64, generator=generator)
    placement, _ = place_on_canvas(positions, size)
    patches = placement.look()(random_complex(placement.object_shape, seed))
    probes = placement.place().spread(random_complex((n_modes, size, size), seed + 1))
    behind = (probes * patches[:, None]).abs().square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(detector(probes)(patches).sum(dim=(1, 2)), behind, rtol=ROUNDING, atol=0)


def test_modes_add_after_the_propagation():
    patches, probe = random_complex((4, 8, 8), 0), random_complex((1, 3, 8, 8), 1)
    together = detector(probe)(patches)
    apart = sum(detector(probe[:, mode : mode + 1])(patches) for mode in range(3))
    torch.testing.assert_close(together, apart)
    turned = probe * torch.polar(torch.ones(3), torch.tensor([0.4, 2.0, -1.1]))[:, None, None]
    torch.testing.assert_close(detector(turned)(patches), together)


def test_a_global_phase_of_object_or_probe_is_not_seen():
    patches, probe = random_complex((2, 8, 8), 4), random_complex((1, 2, 8, 8), 5)
    turn = torch.polar(torch.tensor(1.0), torch.tensor(0.7))
    counts = detector(probe)(patches)
    torch.testing.assert_close(detector(probe)(patches * turn), counts)
    torch.testing.assert_close(detector(probe * turn)(patches), counts)

import dataclasses

import pytest
import torch

from ptycho_torch.data.stream import KEPT, Draw, Pictures, SimulationStream


def stream(seed: int = 0) -> SimulationStream:
    return SimulationStream(32, 3, 4, ("clouds", "siemens"), (1e3, 1e9), (0.5, 0.8), reuse=2, seed=seed, n_steps=5)


def same(one: Draw, other: Draw) -> bool:
    return all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
    )


def test_the_seed_and_the_step_decide_a_draw():
    assert same(stream()[3], stream()[3])
    assert not same(stream()[3], stream()[2])
    assert not same(stream()[3], stream(seed=1)[3])


def test_doses_spread_over_the_whole_range():
    powers = torch.cat([stream()[step].probe.abs().square().sum(dim=(1, 2, 3)) for step in range(5)]).log10()
    assert powers.min() > 3
    assert powers.max() < 9
    assert powers.max() - powers.min() > 3


def test_some_regions_take_amplitude_and_phase_from_one_object_and_some_from_two():
    source = torch.cat([stream()[step].source for step in range(5)])
    n_same = int((source[:, 0] == source[:, 1]).sum())
    assert 3 <= n_same <= len(source) - 3


def an_object_of(draw: Draw) -> torch.Tensor:
    pictures = Pictures()
    pictures.add(draw.pictures)
    return pictures.objects(draw, (40, 50))


def test_an_object_has_the_contrast_that_was_drawn():
    draw = dataclasses.replace(stream()[0], contrast=torch.tensor([[0.0, 0.0], [0.7, 0.0], [0.0, -2.0]]))
    clear, absorbing, phase = an_object_of(draw)
    torch.testing.assert_close(clear, torch.ones_like(clear))
    assert torch.exp(torch.tensor(-0.7)) - 1e-6 <= absorbing.abs().min() < absorbing.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(phase.abs(), torch.ones(40, 50))
    assert -2 - 1e-5 <= phase.angle().min() < phase.angle().max() <= 1e-5


@pytest.mark.parametrize("symmetry", [(False, False, False), (True, False, False), (False, True, True), (True,) * 3])
def test_an_object_is_a_turned_cut_of_its_pictures(symmetry):
    drawn = stream()[1]
    draw = dataclasses.replace(
        drawn,
        symmetry=torch.tensor([symmetry] * 3),
        place=torch.full((3, 2), 0.4, dtype=torch.float64),
        source=torch.zeros(3, 2, dtype=torch.float64),
        contrast=torch.tensor([[1.0, 0.0]] * 3),
    )
    found = 1 + an_object_of(draw)[0].abs().log()
    top, left = int(0.4 * (80 - 40 + 1)), int(0.4 * (80 - 50 + 1))
    picture = drawn.pictures[0, 0].T if symmetry[2] else drawn.pictures[0, 0]
    cut = picture[top : top + 40, left : left + 50]
    flipped = cut.flip([axis for axis in (0, 1) if symmetry[axis]])
    torch.testing.assert_close(found, flipped, atol=1e-5, rtol=0)


def test_a_picture_serves_as_many_regions_as_asked():
    made = [len(stream()[step].pictures) for step in range(5)]
    assert made[0] > 0
    assert sum(made) == 8, "15 regions, two for each"


def test_old_pictures_make_room():
    pictures, draw = Pictures(), stream()[0]
    zero, one = torch.zeros(1, 2, 8, 8), torch.ones(1, 2, 8, 8)
    for picture in [zero] * KEPT + [one] * KEPT:
        pictures.add(picture)
    draw = dataclasses.replace(draw, contrast=torch.tensor([[1.0, 0.0]] * 3))
    torch.testing.assert_close(pictures.objects(draw, (4, 4)).abs(), torch.ones(3, 4, 4))


def test_draws_of_any_step_have_room_for_their_regions():
    for step in range(5):
        draw = stream()[step]
        span = draw.positions.floor().amax(dim=1) - draw.positions.floor().amin(dim=1)
        assert span.max() + 32 <= draw.pictures.shape[-1]
        assert draw.positions.isfinite().all()

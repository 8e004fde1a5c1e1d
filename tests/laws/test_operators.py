"""Every linear operator has its adjoint; those that only move light about are unitary."""

import pytest
import torch

from ptycho_torch.physics.detection import Intensity
from ptycho_torch.physics.illumination import ExitWaves, Illumination
from ptycho_torch.physics.operator import LinearOperator
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.propagation import BareTransform, FarField
from ptycho_torch.physics.subpixel import SubpixelShift
from tests.laws import contracts
from tests.laws.contracts import random_complex

CANVAS, SIZE = (21, 25), 8
# In the corners of the canvas, overlapping, one inside of others, and one twice.
CORNERS = torch.tensor([[0, 0], [13, 17], [0, 17], [13, 0], [3, 4], [5, 2], [5, 2]])
N = len(CORNERS)
LOOK = PatchesAt(CORNERS, SIZE, CANVAS)
PLACE = SubpixelShift(torch.rand(N, 2, generator=torch.Generator().manual_seed(3)), SIZE)
ONE_PROBE = Illumination(random_complex((1, 2, SIZE, SIZE), 4))
OWN_PROBES = Illumination(random_complex((N, 3, SIZE, SIZE), 5))
FIELD = (N, SIZE, SIZE)


LINEAR = {
    "look": (LOOK, CANVAS, FIELD),
    "place": (PLACE, FIELD, FIELD),
    "illuminate": (ONE_PROBE, FIELD, (N, 2, SIZE, SIZE)),
    "illuminate with own probes": (OWN_PROBES, FIELD, (N, 3, SIZE, SIZE)),
    "propagate": (FarField(), (2, 3, SIZE, SIZE), (2, 3, SIZE, SIZE)),
    "propagate an odd side": (FarField(), (7, 7), (7, 7)),
    "propagate bare": (BareTransform(), (2, 3, SIZE, SIZE), (2, 3, SIZE, SIZE)),
    "illuminate what is cut": (ExitWaves(OWN_PROBES.probe, LOOK), CANVAS, (N, 3, SIZE, SIZE)),
    "place @ look": (PLACE @ LOOK, CANVAS, FIELD),
    "propagate @ illuminate": (FarField() @ OWN_PROBES, FIELD, (N, 3, SIZE, SIZE)),
    "(propagate @ illuminate) @ look": ((FarField() @ ONE_PROBE) @ LOOK, CANVAS, (N, 2, SIZE, SIZE)),
    "propagate @ (illuminate @ look)": (FarField() @ (OWN_PROBES @ LOOK), CANVAS, (N, 3, SIZE, SIZE)),
}


@pytest.mark.parametrize(("operator", "x_shape", "y_shape"), LINEAR.values(), ids=LINEAR)
def test_linear_operators_have_their_adjoint(operator, x_shape, y_shape):
    contracts.linear(operator, x_shape)
    contracts.adjoint(operator, x_shape, y_shape)


@pytest.mark.parametrize("operator", [PLACE, FarField()], ids=["place", "propagate"])
def test_moving_and_propagating_lose_no_light(operator):
    contracts.unitary(operator, FIELD)


@pytest.mark.parametrize(
    ("operator", "x_shape"),
    [
        (LOOK, CANVAS),
        (FarField(), (2, 5, 5)),
        (Intensity(), (2, 2, 3, 3)),
        (Intensity() @ FarField(), (2, 2, 4, 4)),
    ],
    ids=["look", "propagate", "detect", "detect @ propagate"],
)
def test_gradients_are_those_of_finite_differences(operator, x_shape):
    contracts.gradient(operator, x_shape)


def test_cutting_and_illuminating_at_once_is_the_same_as_one_after_the_other():
    x = random_complex(CANVAS, 7)
    torch.testing.assert_close(ExitWaves(OWN_PROBES.probe, LOOK)(x), (OWN_PROBES @ LOOK)(x))


def test_the_contracts_can_fail():
    class Wrong(LinearOperator):
        def forward(self, x):
            return 2j * x + 1

        def adjoint(self, y):
            return 2j * y

    for law in (
        lambda: contracts.adjoint(Wrong(), (3, 3), (3, 3)),
        lambda: contracts.linear(Wrong(), (3, 3)),
        lambda: contracts.unitary(Wrong(), (3, 3)),
    ):
        with pytest.raises(AssertionError):
            law()


def test_a_composition_applies_the_right_one_first_and_is_linear_only_when_both_are():
    x = random_complex(CANVAS, 6)
    torch.testing.assert_close((OWN_PROBES @ LOOK)(x), OWN_PROBES(LOOK(x)))
    assert isinstance(OWN_PROBES @ LOOK, LinearOperator)
    assert not isinstance(Intensity() @ FarField() @ OWN_PROBES @ LOOK, LinearOperator)

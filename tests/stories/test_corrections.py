"""What the file has wrong and the iterations put right, at the size and dose of a real scan."""

import pytest
import torch
from corrections import solved

CPU = torch.device("cpu")
FRAMES, ITERATIONS = 512, 150


@pytest.mark.slow
def test_positions_that_are_three_pixels_off_are_recovered():
    found = solved("wrong positions, corrected", 0, CPU, FRAMES, ITERATIONS)
    true = solved("true positions", 0, CPU, FRAMES, ITERATIONS)
    assert found.before > 2.8
    assert found.after < 0.3
    assert found.phase > true.phase - 1
    assert found.amplitude > true.amplitude - 1


@pytest.mark.slow
def test_a_probe_that_is_out_of_focus_is_recovered():
    found = solved("wrong probe, corrected", 0, CPU, FRAMES, ITERATIONS)
    true = solved("true probe", 0, CPU, FRAMES, ITERATIONS)
    assert found.before > 0.4
    assert found.after < 0.05
    assert found.phase > true.phase - 1
    assert found.amplitude > true.amplitude - 1

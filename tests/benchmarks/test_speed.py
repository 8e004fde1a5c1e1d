"""The benchmark of speed counts work as it is, and its ceilings bound what was measured."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from speed import Asked, Row, step_of
from speed_clock import Machine, Timed, Work, timed, timed_in_turns, work_of

CPU = torch.device("cpu")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "speed.py"


def test_work_is_that_of_the_operations_and_views_move_nothing():
    a, b = torch.ones(8, 16), torch.ones(16, 4)
    product = work_of(lambda: a.view(16, 8).t().reshape(8, 16) @ b)
    assert product.flops == 2 * 8 * 16 * 4
    n_bytes = 4 * (8 * 16 + 16 * 4 + 8 * 4)
    assert n_bytes <= product.bytes <= n_bytes + 2 * 4 * 8 * 16, "and a copy for the reshaping"
    assert work_of(lambda: a.view(16, 8)).bytes == 0


@pytest.mark.parametrize(("work", "expected"), [(Work(1e9, 1), 0.5), (Work(1, 4e8), 0.4), (Work(1e9, 4e8), 0.5)])
def test_the_roofline_is_the_longer_of_two_times(work, expected):
    assert Machine(CPU, flops=1e9, bandwidth=5e8).share(work, seconds=2.0) == pytest.approx(expected)


def test_a_median_has_as_many_calls_as_asked_for_after_the_first():
    calls = []
    found = timed(lambda: calls.append(1), CPU, budget=0.0, least=5)
    assert len(found.walls) == len(found.cpus) == 5
    assert len(calls) == 6


def test_calls_take_turns_and_are_compared_turn_by_turn():
    calls = []
    timed_in_turns([lambda: calls.append("a"), lambda: calls.append("b")], CPU, budget=0.0)
    assert calls == ["a", "b"] * 4
    quiet_then_loaded = Timed((1.0, 1.0, 8.0), (1.0, 1.0, 1.0)), Timed((2.0, 2.1, 24.0), (1.0, 1.0, 1.0))
    assert quiet_then_loaded[0].times_faster(quiet_then_loaded[1]) == 2.1


def test_what_fails_is_told_and_the_rest_goes_on(capsys):
    def fails():
        raise RuntimeError("first words\nout of memory")

    asked = Asked("cpu", CPU, {}, (1,), "32-true", budget=0.0)
    planned = [(fails, partial(Row, "one", case=(64, 1, 16))), (int, partial(Row, "other", case=(64, 1, 16)))]
    assert [row.what for row in asked.rows(planned)] == ["other"]
    assert "one (64, 1, 16) failed: out of memory" in capsys.readouterr().err


def test_a_step_is_taken_again_and_again():
    asked = Asked("cpu", CPU, {64: (4,)}, (1,), "32-true", budget=0.0)
    call, n = step_of(asked, 64, 1, 4, "launched")
    call()
    call()
    assert n == 4


def test_the_script_prints_a_table():
    words = ["--set", "cpu", "--only", "feeding", "--size", "64", "--gridsize", "1", "--batch", "16", "--budget", "0"]
    found = subprocess.run([sys.executable, SCRIPT, *words], check=True, capture_output=True, text=True).stdout
    assert "ceilings: a matrix product" in found
    assert "feeding" in found

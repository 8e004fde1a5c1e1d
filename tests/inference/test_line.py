"""Lines of the likelihood whose fields are kept, or not; and the directions that they take."""

import dataclasses
import gc
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ptycho.config.refinement import Refinement
from ptycho_torch.base.repeating import repeatable
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference import captured
from ptycho_torch.inference import likelihood as likelihood_module
from ptycho_torch.inference import line as line_module
from ptycho_torch.inference import refine as refine_module
from ptycho_torch.inference.captured import RECORDED_FROM
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.inference.line import KeptLine, Line, RecordedLine, line_from
from ptycho_torch.inference.prior import edge_preserving
from ptycho_torch.inference.quasi_newton import MEMORY, QuasiNewton
from ptycho_torch.inference.refine import refine
from ptycho_torch.physics.forward import place_on_canvas
from tests.laws.contracts import random_complex
from tests.laws.scans import small_scan, truth_on_canvas

ACQUISITION = small_scan(n_positions=12, n_modes=2, n_dead_pixels=40, photons=2e4)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def estimate(device="cpu", **parts):
    truth = truth_on_canvas(ACQUISITION)
    object_ = truth * (1 + 0.1 * random_complex(truth.shape, 0))
    return Estimate(object_.to(device), torch.from_numpy(ACQUISITION.probe).to(device), **parts)


def likelihood(device="cpu", free=("object_",), **choices):
    scan = Scan.of(ACQUISITION, device)
    placement, _ = place_on_canvas(scan.positions, scan.size)
    return Likelihood(scan, placement, held_out_fraction=0.1, free=free, **choices)


def direction_of(at, seed):
    """A direction in the object, and in the background where there is one."""
    zero = at.times(0.0)
    along = random_complex(tuple(at.object_.shape), seed).to(at.object_.device)
    haze = None if at.haze is None else torch.full_like(at.haze, 0.05)
    return dataclasses.replace(zero, object_=0.1 * along, haze=haze)


def rising(along, slope):
    """A gradient that has a slope along a direction."""
    return along.times(slope / float(along.dot(along)))


def assert_same(found, expected):
    (at, value), (other_at, other) = found, expected
    torch.testing.assert_close(at.object_, other_at.object_)
    for name in ("deviance", "held_out_mean", "r_factor", "objective"):
        assert getattr(value, name) == pytest.approx(getattr(other, name), rel=1e-4), name
    torch.testing.assert_close(value.held_out, other.held_out, rtol=1e-3, atol=1e-3)
    for name, part in value.gradient.parts.items():
        theirs = other.gradient.parts[name]
        torch.testing.assert_close(part, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()) + 1e-30, msg=name)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("free", [("object_",), ("object_", "haze"), ("haze",)])
def test_a_line_with_kept_fields_is_the_line_without(free, device):
    at = estimate(device, haze=torch.tensor(0.7, device=device) if "haze" in free else None)
    law = likelihood(device, free)
    kept, plain = line_from(law, at), Line(law, at)
    assert isinstance(kept, KeptLine)
    for seed in (1, 2, 3):
        along = direction_of(at, seed)
        if "object_" not in free:
            along = dataclasses.replace(along, object_=torch.zeros_like(along.object_))
        gradient = rising(along, -0.7 * law.curvature(at, along))
        (length, *found), (other, *expected) = kept.first(along, gradient), plain.first(along, gradient)
        assert length == pytest.approx(0.7, rel=1e-4)
        assert other == pytest.approx(0.7, rel=1e-6)
        assert_same(found, expected)
        for length in (1.0, 0.5):
            assert_same(kept.value(length), plain.value(length))
        at = at.plus(0.5, along)
        kept.go(at)
        plain.go(at)


@pytest.mark.parametrize("lines", [Line, KeptLine])
def test_a_line_says_where_it_leads_up(lines, monkeypatch):
    at, law = estimate(), likelihood()
    line, along = lines(law, at), direction_of(at, 1)
    for slope in (3.0, 0.0):
        assert line.first(along, rising(along, slope))[0] <= 0
    # Where nothing bends.
    monkeypatch.setattr(law, "bend", lambda *_: torch.zeros((), dtype=torch.float64))
    assert [line.first(along, rising(along, slope))[0] for slope in (-3.0, 0.0, 3.0)] == [1, 0, -1]


@pytest.mark.parametrize("far", [1e25, float("inf")])
def test_a_line_that_led_nowhere_leaves_no_trace(far):
    at, law = estimate(), likelihood()
    kept, plain = KeptLine(law, at), Line(law, at)
    kept.first(direction_of(at, 1), rising(direction_of(at, 1), -1.0))
    kept.value(far)
    along = direction_of(at, 2)
    gradient = rising(along, -law.curvature(at, along))
    (length, *found), (other, *expected) = kept.first(along, gradient), plain.first(along, gradient)
    assert length == pytest.approx(other, rel=1e-4)
    assert_same(found, expected)


def test_fields_are_kept_where_no_probe_changes_and_there_is_room(monkeypatch):
    assert not isinstance(line_from(likelihood(free=("object_", "probe")), estimate()), KeptLine)
    monkeypatch.setattr(line_module, "MOST_KEPT", 12 * 32**2 * (4 * 8 * 2 + 4))
    assert isinstance(line_from(likelihood(), estimate()), KeptLine)
    monkeypatch.setattr(line_module, "MOST_KEPT", 12 * 32**2 * (4 * 8 * 2 + 4) - 1)
    assert not isinstance(line_from(likelihood(), estimate()), KeptLine)


class Tape(TorchDispatchMode):
    """Stands in for a graph: to replay is to do every operation again, on the very tensors that it read and wrote.

    Recording leaves everything as it was.
    """

    replayed = 0

    def __init__(self, _device):
        super().__init__()
        self._operations, self._before = [], []

    def __torch_dispatch__(self, operation, _types, args=(), how=None):
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        how = how or {}
        for place, argument in enumerate(operation._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                written = args[place] if place < len(args) else how[argument.name]
                self._before.append((written, written.clone()))
        found = operation(*args, **how)
        self._operations.append((operation, args, how, found))
        return found

    def record(self, work):
        with self:
            result = work()
        for written, before in reversed(self._before):
            written.copy_(before)

        def again():
            Tape.replayed += 1
            for operation, args, how, found in self._operations:
                for there, now in zip(tensors(found), tensors(operation(*args, **how)), strict=True):
                    there.copy_(now)
            return result

        return again


def tensors(found):
    return [found] if isinstance(found, torch.Tensor) else list(found)


@pytest.fixture
def taped(monkeypatch):
    monkeypatch.setattr(captured, "CudaGraphs", Tape)
    monkeypatch.setattr(Tape, "replayed", 0)


def expecting(law, at, strength):
    return law.expecting(edge_preserving(strength, law.light(at), at.object_))


@pytest.mark.parametrize("chunk_bytes", [2**21, 5 * 8 * 32**2], ids=["one chunk", "chunks"])
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_recorded_line_is_the_line_with_kept_fields(monkeypatch, taped, strength, chunk_bytes):
    monkeypatch.setitem(likelihood_module.CHUNK_BYTES, "cpu", chunk_bytes)
    at = estimate()
    law = expecting(likelihood(), at, strength)
    recorded, kept = RecordedLine(law, at), KeptLine(law, at)
    pairs = []
    for seed in range(RECORDED_FROM + 5):
        along = direction_of(at, seed)
        gradient = rising(along, -0.5 * law.curvature(at, along))
        (length, *found), (other, *expected) = recorded.first(along, gradient), kept.first(along, gradient)
        assert length == pytest.approx(other, rel=1e-4)
        pairs.append((found, expected))
        if seed == RECORDED_FROM + 2:
            # Nothing along this line is good enough.
            continue
        if seed % 2:
            pairs.append((recorded.value(length / 2), kept.value(length / 2)))
        at = pairs[-1][0][0]
        recorded.go(at)
        kept.go(at)
    assert Tape.replayed == 5
    for found, expected in pairs:
        assert_same(found, expected)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_iterations_over_recorded_lines_are_those_over_plain_ones(monkeypatch, taped, strength):
    start, law = estimate(), likelihood()
    prior = edge_preserving(strength, law.light(start), start.object_)

    def refined():
        return refine(start, law.scan, law.placement, Refinement(iterations=12), prior=prior, held_out_fraction=0.1)

    expected = refined()
    monkeypatch.setattr(refine_module, "line_from", RecordedLine)
    found = refined()
    assert Tape.replayed > 0
    for name, curve in expected.history.items():
        assert found.history[name] == pytest.approx(curve, rel=1e-3), name


def test_a_line_that_cannot_be_recorded_says_so_once_and_goes_on(monkeypatch, caplog):
    class Refuses(Tape):
        def record(self, work):
            super().record(work)
            raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(captured, "CudaGraphs", Refuses)
    law, at = likelihood(), estimate()
    refusing, kept = RecordedLine(law, at), KeptLine(law, at)
    for seed in range(RECORDED_FROM + 2):
        along = direction_of(at, seed)
        gradient = rising(along, -0.5 * law.curvature(at, along))
        (length, *found), (other, *expected) = refusing.first(along, gradient), kept.first(along, gradient)
        assert length == pytest.approx(other, rel=1e-4)
        assert_same(found, expected)
        at = found[0]
        refusing.go(at)
        kept.go(at)
    assert caplog.text.count("the likelihood along a line runs kernel by kernel") == 1


def test_a_line_that_is_done_with_is_gone_at_once(taped):
    law, at = likelihood(), estimate()
    line = RecordedLine(law, at)
    for seed in range(RECORDED_FROM + 1):
        line.first(direction_of(at, seed), rising(direction_of(at, seed), -1.0))
        line.value(0.5)
    gone = weakref.ref(line)
    gc.disable()
    try:
        del line
        assert gone() is None
    finally:
        gc.enable()


def test_a_processor_records_nothing():
    assert type(line_from(likelihood(), estimate())) is KeptLine


@pytest.mark.gpu
def test_a_gpu_records_lines_in_the_object_alone_where_there_is_room(monkeypatch):
    at, law = estimate("cuda"), likelihood("cuda")
    assert type(line_from(law, at)) is RecordedLine
    assert type(line_from(law.freeing(("object_", "haze")), at)) is KeptLine
    kept, held = 12 * 32**2 * (4 * 8 * 2 + 4), line_module.HELD * 12 * 32**2 * 8 * 2
    held += line_module.CANVASES * at.object_.nbytes
    monkeypatch.setattr(line_module, "SHARE_KEPT", 1)
    for free, lines in ((kept + held, RecordedLine), (kept + held - 1, KeptLine), (kept - 1, Line)):
        monkeypatch.setattr(line_module, "free_memory", lambda _device, free=free: free)
        assert type(line_from(law, at)) is lines


@pytest.mark.gpu
@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_a_gpu_that_replays_iterations_goes_where_it_went_and_frees_its_memory(
    monkeypatch, caplog, strength, deterministic
):
    start, law = estimate("cuda"), likelihood("cuda")
    prior = edge_preserving(strength, law.light(start), start.object_)

    def refined():
        with repeatable(deterministic):
            return refine(start, law.scan, law.placement, Refinement(iterations=12), prior=prior, held_out_fraction=0.1)

    with monkeypatch.context() as patch:
        patch.setattr(line_module, "HELD", 2**40)
        expected = refined().history
    recorded = []
    record = RecordedLine.__init__
    monkeypatch.setattr(RecordedLine, "__init__", lambda line, *of: recorded.append(record(line, *of)))
    found = refined().history
    assert recorded
    assert "kernel by kernel" not in caplog.text
    for name, curve in expected.items():
        assert found[name] == pytest.approx(curve, rel=1e-3), name
    before = torch.cuda.memory_allocated()
    refined()
    assert torch.cuda.memory_allocated() == before


def test_an_iteration_of_the_object_needs_one_transform_there_and_one_back(monkeypatch):
    law, at, counted = likelihood(), estimate(), []
    line = line_from(law, at)
    for name in ("fft2", "ifft2"):
        plain = getattr(torch.fft, name)

        def count(x, *args, plain=plain, name=name, **how):
            counted.append((name, x.shape[0]))
            return plain(x, *args, **how)

        monkeypatch.setattr(torch.fft, name, count)
    _, moved, _ = line.first(direction_of(at, 1), rising(direction_of(at, 1), -1.0))
    line.go(moved)
    assert counted == [("fft2", 12), ("ifft2", 12)]


def test_a_direction_is_that_of_the_two_loops():
    """BFGS's inverse Hessian, written out as a matrix over the numbers of an estimate."""
    start = estimate(positions=torch.rand(12, 2, dtype=torch.float64))
    start = dataclasses.replace(start, object_=start.object_[:6, :5].contiguous(), probe=start.probe[:, :4, :4])
    n = len(start.numbers)
    generator = torch.Generator().manual_seed(1)
    stiffness = 1 + 3 * torch.rand(n, generator=generator)
    mixing = torch.randn(n, n, generator=generator) / n**0.5
    hessian = (torch.diag(stiffness) + mixing @ mixing.T).double()

    def guess(gradient):
        return gradient.of_numbers(gradient.numbers / stiffness)

    newton, pairs = QuasiNewton(guess), []
    here = torch.randn(n, generator=generator)
    for _ in range(MEMORY + 3):
        newton.direction(start.of_numbers(here))
        step = torch.randn(n, generator=generator)
        change = (hessian @ step.double()).float()
        newton.learn(start.of_numbers(step))
        here = here + change
        pairs.append((step.double(), change.double()))
    found = newton.direction(start.of_numbers(here))
    assert len(newton) == MEMORY
    step, change = pairs[-1]
    inverse = torch.diag(1 / stiffness.double())
    inverse *= (step @ change) / (change @ inverse @ change)
    for step, change in pairs[-MEMORY:]:
        turn = torch.eye(n, dtype=torch.float64) - torch.outer(step, change) / (step @ change)
        inverse = turn @ inverse @ turn.T + torch.outer(step, step) / (step @ change)
    assert found.positions.dtype == torch.float64
    torch.testing.assert_close(found.numbers, -(inverse @ here.double()).float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_pairs", [0, 2, MEMORY])
def test_a_pair_along_which_the_objective_is_not_convex_is_not_remembered(n_pairs):
    newton, at = QuasiNewton(lambda gradient: gradient), estimate()
    for k in range(n_pairs):
        step = at.times(0.0).plus(1.0, direction_of(at, k))
        newton.direction(at)
        newton.learn(step)
        at = at.plus(2.0 + k, step)
    newton.direction(at)
    newton.learn(at.times(-1.0))
    newton.direction(at.times(2.0))
    assert len(newton) == min(n_pairs, MEMORY - 1)
    if not n_pairs:
        torch.testing.assert_close(newton.direction(at).object_, -at.object_)


def test_what_is_forgotten_leaves_nothing_behind():
    """Also where it was no number."""
    newton, at = QuasiNewton(lambda gradient: gradient), estimate()
    newton.direction(at)
    newton.learn(at.times(float("inf")))
    newton.direction(at.times(2.0))
    newton.forget()
    newton.direction(at)
    newton.learn(direction_of(at, 1))
    found = newton.direction(at.plus(0.5, direction_of(at, 1)))
    assert len(newton) == 1
    assert found.numbers.isfinite().all()


def test_an_estimate_of_its_own_numbers_is_itself():
    at = estimate(
        haze=torch.tensor(0.7), variations=random_complex((1, 32, 32), 4), positions=torch.zeros(12, 2).double()
    )
    for name, part in at.of_numbers(at.numbers).parts.items():
        assert torch.equal(part, at.parts[name]), name
        assert part.dtype == at.parts[name].dtype, name

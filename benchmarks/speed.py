"""How fast everything is, beside the ceilings of the machine, the existing network and pty-chi, all in one run.

    python benchmarks/speed.py [--set cpu|gpu] [--only PART ...] [--size N ...] [--gridsize 1 2] [--batch B ...]
                               [--precision 32-true|bf16-mixed] [--ways WAY ...] [--kernels N] [--budget S]
                               [--out FILE]

A row is the median of several calls. "CPU ms" counts all threads of the process: on a machine that others use too it
says more than the clock. FLOPs are those of convolutions and matrix products; bytes are what operations read and write,
each as if nothing stayed in a cache; "roofline" is the time that a matrix product and a copy, timed at the start of the
run, would take for the larger of both, over the time it took, all by the clock: others on the machine make it wrong.
"yardstick" is the network `cnn` with the Poisson likelihood of each pattern alone, in single precision and without
channels last; ours and it take turns, and "x 16" and "x best" are the medians, over the turns, of how many times as
many patterns a second ours does as that at batch 16 and at the best of its batches. Without pty-chi (extra "baseline")
its row is left out. A GPU takes a training step in several ways: kernel by kernel, as one CUDA graph ("recorded"), that
with algorithms that repeat themselves ("repeatable"), and with a compiled network ("compiled", at the largest batch);
a pass of prediction kernel by kernel ("eager"), captured, and compiled (at the smallest and the largest batch).
What fails is told in a line, and the rest goes on.
"""

import argparse
import itertools
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from unittest import mock

import iterative_baseline
import numpy as np
import torch
from speed_clock import Machine, Timed, Work, machine_words, synchronise, timed, timed_in_turns, work_of

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.writers import write_npz
from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.grouping.sampling import draw_groups
from ptycho.report.tables import Cell, text_table
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.base.recording import REHEARSALS, CudaGraphs
from ptycho_torch.base.repeating import LARGE_ENOUGH, WORKSPACE, repeatable
from ptycho_torch.data.batch import Step, gather
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference import fastest
from ptycho_torch.inference.captured import Captured
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.predict import Pass, summed_patches
from ptycho_torch.inference.refine import refine
from ptycho_torch.inference.solve import groups_of
from ptycho_torch.networks.cnn import Cnn
from ptycho_torch.objectives.poisson import poisson_nll
from ptycho_torch.persistence.bundle import write_bundle
from ptycho_torch.physics.forward import Placement, detector, divide, place_on_canvas, probe_weight, weighted
from ptycho_torch.physics.transforms import by_library, transformed
from ptycho_torch.pinn.build import Constants, build, loss_of, objective_of
from ptycho_torch.training.clipping import CLIP_NORM, clip
from ptycho_torch.training.compiled import CompiledBody
from ptycho_torch.training.datamodule import ScanDataModule
from ptycho_torch.training.fit import Fit, fit, prepare
from ptycho_torch.training.schedules import make_optimizer
from ptycho_torch.training.whole_step import Taken, WholeStep

HEADERS = [
    "what",
    "N",
    "gridsize",
    "batch",
    "ms",
    "CPU ms",
    "a second",
    "MFLOP",
    "kB",
    "roofline",
    "x 16",
    "x best",
    "goal",
]
# Kind of device -> (N, batches) of ours, and of the yardstick.
SIZES = {
    "cpu": {64: (16, 64, 256), 128: (16, 64), 256: (16,)},
    "gpu": {64: (16, 256, 1024, 4096), 128: (16, 256, 1024), 256: (16, 256)},
}
YARDSTICK = {
    "cpu": {64: (16, 64), 128: (16,), 256: (16,)},
    "gpu": {64: (16, 256, 1024), 128: (16, 256), 256: (16, 64)},
}
# Ways of taking a training step.
WAYS = {"cpu": ("launched",), "gpu": ("launched", "recorded", "repeatable", "compiled")}
STITCHED = {"cpu": (10_000, 100_000), "gpu": (10_000, 1_000_000)}
GROUPED = (10_000, 1_000_000)
FRAMES = 512
# Patterns a second that a GPU shall predict and stitch, by N.
GOALS = {64: (1e6, "1 M"), 128: (2.5e5, "250 k"), 256: (5e4, "50 k")}
# Patterns that are timed together: a GPU has always the next pass to do, as in a long scan.
ENOUGH_PATTERNS = 16384
ENOUGH_PASSES = {"eager": 32, "captured": 1024, "compiled": 1024}
# Iterations that are timed, and those before them.
BEFORE, ITERATIONS = 10, 50
# Frames of an iteration on a GPU.
ITERATED = 10_000
EPOCHS = 30
# Runs until the first patterns of a scan are predicted, and says whether it opened Lightning.
FIRST_PATTERN = """
import os, sys
from ptycho_torch.inference.predict import Pass
add = Pass.__call__
def first(one_pass, groups, then=None):
    add(one_pass, groups, then)
    sys.stderr.flush()
    os._exit(1 if "lightning" in sys.modules else 0)
Pass.__call__ = first
from ptycho.cli.main import main
main(sys.argv[1:])
"""


@dataclass(frozen=True)
class Row:
    """A measurement: what of how much, the time of a call, items in a call, their work, and the goal in items a second.

    ``kind`` names what rows of ours are compared with the yardstick's.
    """

    what: str
    timed: Timed
    items: float = 1.0
    case: tuple[int | None, int | None, int | None] = (None, None, None)
    work: Work | None = None
    goal: tuple[float, str] | None = None
    kind: str | None = None

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.items / self.timed.seconds


# A call, and what makes a row of its time.
Planned = tuple[Callable[[], object], partial[Row]]


@dataclass(frozen=True)
class Asked:
    """What shall be measured, and where."""

    set: str
    device: torch.device
    sizes: dict[int, tuple[int, ...]]
    gridsizes: tuple[int, ...]
    precision: str
    budget: float
    ways: tuple[str, ...] = ("launched",)
    kernels: int = 0

    def autocast(self) -> torch.autocast:
        """Return the arithmetic that the trainer would use."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed")

    def shapes(self) -> Iterator[tuple[int, int]]:
        """Yield (N, gridsize)."""
        return itertools.product(self.sizes, self.gridsizes)

    def time(self, call: Callable[[], object], least: int = 3) -> Timed:
        """Time a call alone."""
        return timed(call, self.device, budget=self.budget, least=least)

    def rows(self, planned: Iterable[Planned]) -> Iterator[Row]:
        """Time calls in turns, and yield what becomes of each that works."""
        able = [(call, row) for call, row in planned if self.works(call, row)]
        times = timed_in_turns([call for call, _ in able], self.device, budget=self.budget)
        for (_, row), found in zip(able, times, strict=True):
            yield row(timed=found)

    def works(self, call: Callable[[], object], row: partial[Row]) -> bool:
        """Call until nothing is a first time any more, and tell a first figure, or what failed."""
        name = f"{row.args[0]} {row.keywords['case']}"
        try:
            begun = time.perf_counter()
            for _ in range(REHEARSALS + 1):
                call()
            synchronise(self.device)
            first = time.perf_counter() - begun
            rate = row(timed=timed(call, self.device, budget=0.0)).rate
            if self.kernels:
                profile(call, name, self.kernels)
        except Exception as error:  # one row less, and all the others
            sys.stderr.write(f"{name} failed: {(str(error).strip() or repr(error)).splitlines()[-1]}\n")
            return False
        sys.stderr.write(f"{name}: ready after {first:.1f} s, at first {rate:.4g} a second\n")
        return True


@cache
def scan_of(size: int, n_positions: int = FRAMES) -> Acquisition:
    """Return a simulated scan."""
    return simulate(Simulation(N=size, n_positions=n_positions), np.random.default_rng(0))


def grouping(asked: Asked) -> Iterator[Row]:
    """Groups of four from positions, and the steps of an epoch."""
    goals = dict(zip(GROUPED, (0.2, 20.0), strict=True))
    for n in GROUPED:
        positions = np.random.default_rng(0).uniform(0, 6 * n**0.5, (n, 2))
        call = partial(draw_groups, positions, 4, 4, n, np.random.default_rng(0))
        yield Row(f"grouping {n} positions", asked.time(call, least=1), n, goal=(n / goals[n], f"{goals[n]:g} s"))


def feeding(asked: Asked) -> Iterator[Row]:
    """Steps drawn, and their counts gathered, without a network."""
    for size, gridsize, batch in ((*shape, batch) for shape in asked.shapes() for batch in asked.sizes[shape[0]]):
        config = TrainingConfig(ModelConfig(N=size, gridsize=gridsize), batch_size=batch)
        acquisition = scan_of(size)
        scan, data = (
            Scan.of(acquisition, asked.device),
            ScanDataModule(config, execution_of(asked), acquisition, None, 0),
        )
        loader = data.train_dataloader()
        epochs = itertools.count()

        def epoch(loader=loader, scan=scan, epochs=epochs) -> None:
            loader.sampler.set_epoch(next(epochs))
            for step in loader:
                gather(scan, step.to(asked.device))

        n = len(loader) * batch * gridsize**2
        yield Row("feeding", asked.time(epoch), n, (size, gridsize, batch))


def training(asked: Asked) -> Iterator[Row]:
    """A step of training without Lightning, loss to new weights."""
    for shape in asked.shapes():
        yield from asked.rows(itertools.chain(steps_of(asked, *shape), yardstick(asked, *shape, training=True)))


def steps_of(asked: Asked, size: int, gridsize: int) -> Iterator[Planned]:
    """Yield a step of training for every batch, in every way."""
    for batch in asked.sizes[size]:
        # As it is launched: a compiler makes nothing of a network whose operations are counted meanwhile.
        work = work_of(step_of(asked, size, gridsize, batch, "launched")[0])
        for way in asked.ways:
            # Compiling takes half a minute.
            if way == "compiled" and batch < max(asked.sizes[size]):
                continue
            step, n = step_of(asked, size, gridsize, batch, way)
            name = "training step" if way == "launched" else f"training step, {way}"
            yield step, partial(Row, name, items=n, case=(size, gridsize, batch), work=work, kind="training")


def step_of(asked: Asked, size: int, gridsize: int, batch: int, way: str) -> tuple[Callable[[], object], int]:
    """Return a call that takes the next of some steps, and how many patterns one has."""
    config = TrainingConfig(ModelConfig(N=size, gridsize=gridsize), batch_size=batch)
    acquisition, execution = scan_of(size), execution_of(asked)
    pinn = build(config.model, config, Constants.of(acquisition)).to(asked.device).train()
    pinn.settle()
    loss = loss_of(config.model, acquisition, Scan.of(acquisition, asked.device), objective_of(config))
    data = ScanDataModule(config, execution, acquisition, None, 0)
    steps = [step.to(asked.device) for step in itertools.islice(data.train_dataloader(), 4)]
    weights = [weight for weight in pinn.parameters() if weight.requires_grad]
    optimizer, turn = make_optimizer(weights, config, execution), itertools.cycle(steps)
    if way == "compiled":
        pinn.network.said = CompiledBody(pinn.network)

    def take(step: Step) -> Taken:
        optimizer.zero_grad()
        with asked.autocast():
            value = loss(pinn, step)
        value.backward()
        clip(weights, CLIP_NORM, "norm")
        optimizer.step()
        return Taken(value.detach(), value.detach())

    taker = take if way == "launched" else WholeStep(take, optimizer, CudaGraphs(asked.device))

    def call() -> None:
        with repeatable(way == "repeatable"):
            taker(next(turn))

    return call, steps[0].numel()


def fitting(asked: Asked) -> Iterator[Row]:
    """Epochs of small batches with all that Lightning and the callbacks do between steps."""
    for size, repeats in itertools.product(asked.sizes, (True, False)):
        config = TrainingConfig(ModelConfig(N=size), validation_fraction=0.0)
        few, many = (_fitted(asked, replace(config, nepochs=n), repeats=repeats) for n in (2, 2 + EPOCHS))
        one = Timed((many.seconds - few.seconds,), (many.seconds - few.seconds,))
        name = f"training with Lightning, {'repeatable' if repeats else 'not repeatable'}"
        yield Row(name, one, many.n_patterns - few.n_patterns, (size, 1, config.batch_size))


def _fitted(asked: Asked, config: TrainingConfig, *, repeats: bool) -> Fit:
    execution = replace(execution_of(asked), deterministic=repeats)
    return prepare(config, execution, scan_of(config.model.N), folder=None).train()


def profile(call: Callable[[], object], name: str, n_kernels: int) -> None:
    """Print which kernels of a GPU take most of the time of a call."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as found:
        call()
        torch.cuda.synchronize()
    kernels = [each for each in found.key_averages() if each.device_type == torch.autograd.DeviceType.CUDA]
    total = sum(each.self_device_time_total for each in kernels)
    sys.stderr.write(f"{name}: {sum(each.count for each in kernels)} kernels, {total / 1e3:.3f} ms in them\n")
    for each in sorted(kernels, key=lambda each: -each.self_device_time_total)[:n_kernels]:
        sys.stderr.write(f"  {each.self_device_time_total / 1e3:8.3f} ms {each.count:4d} x  {each.key[:110]}\n")


def inference(asked: Asked) -> Iterator[Row]:
    """Patches of a batch, and of a whole scan, with stitching."""
    ours = predictions_of if asked.device.type == "cpu" else passes_of
    for shape in asked.shapes():
        yield from asked.rows(itertools.chain(ours(asked, *shape), yardstick(asked, *shape, training=False)))


def passes_of(asked: Asked, size: int, gridsize: int) -> Iterator[Planned]:
    """Yield passes with stitching on a GPU: one by one, captured, and captured with the network compiled.

    Each is done once before it is timed: one that fails is told and left out.
    """
    model, acquisition = ModelConfig(N=size, gridsize=gridsize), scan_of(size)
    pinn = build(model, TrainingConfig(model), Constants.of(acquisition)).to(asked.device).eval()
    scan = Scan.of(acquisition, asked.device)
    placement, _ = place_on_canvas(scan.positions, size)
    frames = groups_of(acquisition.positions, gridsize**2, 4).to(asked.device)
    times_seen = torch.bincount(frames.reshape(-1), minlength=FRAMES)
    batches = asked.sizes[size]
    for batch, how in itertools.product(batches, ("eager", "captured", "compiled")):
        # Compiling takes some seconds.
        if how == "compiled" and batch not in (min(batches), max(batches)):
            continue
        what = f"pass, {how}"
        case = (size, gridsize, batch)
        groups = frames[torch.arange(batch, device=asked.device) % FRAMES]
        one_pass = Pass(
            *(pinn, scan, placement, times_seen), precision=asked.precision, compiled=how == "compiled", flux=1.0
        )
        n_times = max(1, min(ENOUGH_PASSES[how], ENOUGH_PATTERNS // groups.numel()))

        def passed(add: Callable[[torch.Tensor], None], groups=groups, n_times=n_times) -> None:
            for _ in range(n_times):
                add(groups)

        begun = time.perf_counter()
        try:
            add = one_pass
            if how != "eager":
                add = Captured(one_pass, (batch, gridsize**2), one_pass.nobody, asked.device)
            passed(add)
            synchronise(asked.device)
        except Exception as error:
            sys.stderr.write(f"{what} {case}: {str(error).strip().splitlines()[-1:]}\n")
            continue
        sys.stderr.write(f"{what} {case}: ready after {time.perf_counter() - begun:.1f} s\n")
        work = work_of(partial(one_pass, groups)) if how == "eager" else None
        goal = GOALS[size] if how == "compiled" else None
        row = partial(Row, what, items=n_times * groups.numel(), case=case, goal=goal, kind="inference")
        yield partial(passed, add), partial(row, work=None if work is None else work.times(n_times))


def predictions_of(asked: Asked, size: int, gridsize: int) -> Iterator[Planned]:
    """Yield the prediction of every batch, and that of the scan in such batches."""
    model, acquisition = ModelConfig(N=size, gridsize=gridsize), scan_of(size)
    pinn = build(model, TrainingConfig(model), Constants.of(acquisition)).to(asked.device).eval()
    scan = Scan.of(acquisition, asked.device)
    placement, _ = place_on_canvas(scan.positions, size)
    groups = groups_of(acquisition.positions, model.gridsize**2, 4).to(asked.device)
    for batch in asked.sizes[size]:
        some = groups[torch.arange(batch, device=asked.device) % FRAMES].reshape(-1)

        @torch.no_grad()
        def predict(some=some) -> None:
            with asked.autocast():
                pinn.predict(scan.counts(some))

        def stitched(batch=batch) -> None:
            divide(*summed_patches(pinn, scan, placement, groups, batch_size=batch, precision=asked.precision))

        case = (size, gridsize, batch)
        yield predict, partial(Row, "inference", items=len(some), case=case, work=work_of(predict), kind="inference")
        if batch <= FRAMES:
            work = work_of(stitched)
            yield stitched, partial(Row, "inference, stitched", items=groups.numel(), case=case, work=work)


def yardstick(asked: Asked, size: int, gridsize: int, *, training: bool) -> Iterator[Planned]:
    """Yield what the existing network does, plainly: what every step of it takes."""
    acquisition, channels = scan_of(size), gridsize**2
    constants, scan = Constants.of(acquisition), Scan.of(acquisition, asked.device)
    expects, scale = detector(constants.probe.to(asked.device)[None]), constants.input_scale
    for batch in YARDSTICK[asked.set].get(size, ()):
        network = Cnn(size, channels).to(asked.device)
        optimizer = torch.optim.Adam(network.parameters())
        members = torch.arange(batch * channels, device=asked.device) % FRAMES

        def predict(network=network, members=members) -> torch.Tensor:
            amplitude = scan.counts(members).sqrt() * scale
            return network(amplitude.view(-1, channels, *amplitude.shape[1:])).flatten(0, 1)

        def step(predict=predict, members=members, optimizer=optimizer) -> None:
            optimizer.zero_grad()
            poisson_nll(expects(predict()), scan.counts(members)).mean().backward()
            optimizer.step()

        call, kind = (step, "training") if training else (torch.no_grad()(predict), "inference")
        what, case = f"yardstick, {kind}", (size, gridsize, batch)
        yield call, partial(Row, what, items=len(members), case=case, work=work_of(call), kind=f"yardstick {kind}")


def stitching(asked: Asked) -> Iterator[Row]:
    """Patches that are there already, merged on one canvas."""
    size, batch = 64, 64 if asked.device.type == "cpu" else 4096
    for n in STITCHED[asked.set]:
        positions = torch.from_numpy(np.random.default_rng(0).uniform(0, 6 * n**0.5, (n, 2))).to(asked.device)
        placement, _ = place_on_canvas(positions, size)
        patches = torch.randn(batch, size, size, dtype=torch.complex64, device=asked.device)
        weight = probe_weight(torch.as_tensor(scan_of(size).probe, device=asked.device))

        @torch.no_grad()
        def stitch(placement=placement, patches=patches, weight=weight, n=n) -> None:
            sums = [torch.zeros(placement.object_shape, dtype=torch.complex64, device=asked.device) for _ in range(2)]
            for start in range(0, n, batch):
                part = placement.part(slice(start, start + batch))
                look = part.look()
                moved = weighted(patches[: len(part.corners)], weight, part.place())
                for canvas, fields in zip(sums, moved, strict=True):
                    look.add_to(canvas, fields)
            divide(*sums)

        found = asked.time(stitch, least=1)
        goal = (n / 0.5, "0.5 s") if n == STITCHED["cpu"][0] else None
        yield Row(
            f"stitching {n} patches", found, n, (size, None, batch), work_of(stitch) if n <= 10_000 else None, goal
        )


def transforms(asked: Asked) -> Iterator[Row]:
    """A transform of as many fields as the largest batch has, replayed by a GPU: as it is, and by the library."""
    if asked.device.type != "cuda":
        return
    for size, batches in asked.sizes.items():
        fields = torch.randn(max(batches), 1, size, size, dtype=torch.complex64, device=asked.device)
        work = Work(0, 2 * fields.nbytes)
        ways = (("transform, library", by_library), ("transform", transformed))
        case = (size, None, len(fields))
        for name, way in ways:
            yield Row(name, asked.time(recorded(partial(way, fields))), len(fields), case, work)


def recorded(call: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    """Return a call that is launched as one graph."""
    call()
    return CudaGraphs(torch.device("cuda")).record(call)


def iterations(asked: Asked) -> Iterator[Row]:
    """One likelihood iteration over a scan, and one epoch of pty-chi's LSQML."""
    for size in asked.sizes:
        if asked.device.type == "cuda":
            yield from iterations_of_many(asked, size)
            continue
        acquisition = scan_of(size)
        scan = Scan.of(acquisition, asked.device)
        placement, _ = place_on_canvas(scan.positions, size)
        yield iteration_of(asked, scan, placement, torch.as_tensor(acquisition.probe))
        if iterative_baseline.is_installed():
            first, last = iterative_baseline.after_epochs("LSQML", acquisition, (1, 4), device=asked.device)
            epoch = Timed(((last.seconds - first.seconds) / 3,), ((last.cpu_seconds - first.cpu_seconds) / 3,))
            yield Row("pty-chi's LSQML, an epoch", epoch, FRAMES, (size, None, None))


def iteration_of(
    asked: Asked, scan: Scan, placement: Placement, probe: torch.Tensor, what: str = "likelihood iteration"
) -> Row:
    """Return the time of an iteration that follows others: a GPU has recorded by then what it does in each."""
    start = Estimate(torch.ones(placement.object_shape, dtype=torch.complex64, device=asked.device), probe)

    def iterate(n: int) -> None:
        refine(start, scan, placement, Refinement(n), held_out_fraction=0.0)

    few, many = (asked.time(partial(iterate, n), least=3) for n in (BEFORE, BEFORE + ITERATIONS))
    one = Timed(((many.seconds - few.seconds) / ITERATIONS,), ((many.cpu_seconds - few.cpu_seconds) / ITERATIONS,))
    # Once each, transforms within a cache: probe, field and change for the curvature; for the value probe, field, and
    # change again, the field once more as it is kept, and the counts; both times which pixels take part.
    assert isinstance(scan.patterns, torch.Tensor)
    pixel = 7 * 8 + scan.patterns.element_size() + 2
    return Row(what, one, len(scan), (scan.size, None, None), Work(0, len(scan) * scan.size**2 * pixel))


def iterations_of_many(asked: Asked, size: int) -> Iterator[Row]:
    """Yield an iteration over many frames on a GPU, where they are made: as it is, and by plain operations."""
    probe = torch.as_tensor(scan_of(size).probe, device=asked.device)
    side = 6 * ITERATED**0.5
    positions = side * torch.rand(ITERATED, 2, dtype=torch.float64, device=asked.device)
    placement, _ = place_on_canvas(positions, size)
    object_ = torch.polar(*torch.rand((2, *placement.object_shape), device=asked.device))
    patterns = torch.empty(ITERATED, size, size, dtype=torch.int16, device=asked.device)
    for rows in torch.arange(ITERATED, device=asked.device).split(512):
        part = placement.part(rows)
        counts = torch.poisson(detector(part.place().spread(probe))(part.look()(object_)))
        patterns[rows] = counts.clamp_max(2**15 - 1).to(torch.int16)
    mask = torch.ones(size, size, dtype=torch.bool, device=asked.device)
    scan = Scan(patterns.view(torch.uint16), positions, mask, None)
    for what, least in (("likelihood iteration, plain", 2**62), ("likelihood iteration", 0)):
        with mock.patch.multiple(fastest, FUSED_FROM=least, JOINED_FROM=least):
            try:
                yield iteration_of(asked, scan, placement, probe, what)
            except Exception as error:
                sys.stderr.write(f"{what} {size}: {str(error).strip().splitlines()[-1:]}\n")


def runs(asked: Asked) -> Iterator[Row]:
    """From a file to the image, and how long until anything happens."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        acquisition = scan_of(64)
        write_npz(folder / "scan.npz", acquisition)
        config = TrainingConfig(ModelConfig(N=64), nepochs=3, output_dir=folder / "run")
        begun = time.process_time()
        done = fit(config, execution_of(asked), acquisition)
        cpu = time.process_time() - begun
        yield Row(
            "training with Lightning", Timed((done.seconds,), (cpu,)), done.n_patterns, (64, 1, config.batch_size)
        )
        write_bundle(folder / "wts.h5.zip", done.pinn, config)
        words = (
            "reconstruct",
            folder / "wts.h5.zip",
            folder / "scan.npz",
            "--overwrite",
            "--quiet",
            "--output_dir",
            folder / "out",
        )
        ptycho, predicts = ("-m", "ptycho.cli.main"), ("-c", FIRST_PATTERN)
        of_program = partial(of_programs, asked)
        yield of_program("python -c 'import ptycho'", ("-c", "import ptycho"))
        yield of_program("ptycho --help", (*ptycho, "--help"))
        yield of_program("reconstruct until the first pattern", (*predicts, *words), goal=(1 / 4, "4 s"))
        yield of_program("reconstruct, file to image", (*ptycho, *words), FRAMES)
        yield of_program("reconstruct --refine 20, file to image", (*ptycho, *words, "--refine", "20"), FRAMES)


def of_programs(
    asked: Asked, what: str, words: tuple[object, ...], items: float = 1.0, goal: tuple[float, str] | None = None
) -> Row:
    """Return the median of three runs of a Python program."""
    walls, cpus = [], []
    for _ in range(3):
        before, begun = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        walls.append(time.perf_counter() - begun)
        cpus.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return Row(what, Timed(tuple(walls), tuple(cpus)), items, goal=goal)


PARTS = {
    "grouping": grouping,
    "feeding": feeding,
    "training": training,
    "fitting": fitting,
    "inference": inference,
    "stitching": stitching,
    "transforms": transforms,
    "iterations": iterations,
    "runs": runs,
}


def execution_of(asked: Asked) -> PyTorchExecutionConfig:
    """Return choices of the machine that write no checkpoints."""
    return PyTorchExecutionConfig(
        accelerator="gpu" if asked.device.type == "cuda" else "cpu",
        precision=asked.precision,
        enable_checkpointing=False,
    )


def cells(row: Row, machine: Machine, yardsticks: dict[tuple[str, int | None, int | None], list[Row]]) -> list[Cell]:
    """Return a line of the table."""
    work, seconds = row.work, row.timed.seconds
    beside = yardsticks.get((f"yardstick {row.kind}", *row.case[:2]), [])
    ratios = [row.timed.times_faster(each.timed) * row.items / each.items for each in beside]
    goal = None if row.goal is None else f"{row.goal[1]}: {'met' if row.rate >= row.goal[0] else 'missed'}"
    return [
        row.what,
        *row.case,
        1e3 * seconds,
        1e3 * row.timed.cpu_seconds,
        row.rate,
        work.flops / row.items / 1e6 if work and work.flops else None,
        work.bytes / row.items / 1e3 if work else None,
        machine.share(work, seconds) if work else None,
        ratios[0] if ratios else None,
        min(ratios, default=None),
        goal or "",
    ]


def main() -> None:
    """Measure, print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SIZES, default="gpu" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--size", type=int, nargs="+", choices=(64, 128, 256))
    parser.add_argument("--gridsize", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--batch", type=int, nargs="+", help="of ours, instead of those of the set")
    parser.add_argument("--precision", choices=("32-true", "bf16-mixed"))
    parser.add_argument("--ways", nargs="+", choices=WAYS["gpu"], help="of taking a training step")
    parser.add_argument("--kernels", type=int, default=0, help="print that many kernels of a row of a step or pass")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each measurement [1]")
    parser.add_argument("--out", type=Path)
    flags = parser.parse_args()
    sizes = {
        n: tuple(flags.batch or batches)
        for n, batches in SIZES[flags.set].items()
        if n in (flags.size or SIZES[flags.set])
    }
    device = resolve_device(flags.set)
    precision = flags.precision or ("bf16-mixed" if flags.set == "gpu" else "32-true")
    ways = tuple(flags.ways or WAYS[flags.set])
    asked = Asked(flags.set, device, sizes, tuple(flags.gridsize), precision, flags.budget, ways, flags.kernels)
    # As training has them: what a deterministic run of cuBLAS needs, and no memory filled for nothing.
    os.environ.setdefault(WORKSPACE, LARGE_ENOUGH)
    torch.utils.deterministic.fill_uninitialized_memory = False
    begun = time.perf_counter()
    machine = Machine.measured(device, torch.bfloat16 if precision == "bf16-mixed" else torch.float32)
    head = f"$ {shlex.join(['python', *sys.argv])}\n{machine_words(device)}, {precision}"
    rows: list[Row] = []
    for part in flags.only:
        for row in PARTS[part](asked):
            sys.stderr.write(f"{row.what} {row.case}: {row.rate:.4g} a second\n")
            rows.append(row)
            report = f"{head}, load {os.getloadavg()[0]:.1f}; {reported(rows, machine, time.perf_counter() - begun)}"
            # A run that is cut off leaves what it has measured.
            if flags.out:
                write_text(flags.out, report)
    print(report)


def reported(rows: list[Row], machine: Machine, seconds: float) -> str:
    """Return the day, the ceilings of the machine and the table."""
    yardsticks: dict[tuple[str, int | None, int | None], list[Row]] = {}
    for row in rows:
        if row.kind and row.kind.startswith("yardstick"):
            yardsticks.setdefault((row.kind, *row.case[:2]), []).append(row)
    return (
        f"{time.strftime('%Y-%m-%d')}, {seconds:.0f} s in all\n"
        f"ceilings: a matrix product {machine.flops / 1e9:.4g} GFLOP/s, a copy {machine.bandwidth / 1e9:.4g} GB/s\n\n"
        f"{text_table(HEADERS, [cells(row, machine, yardsticks) for row in rows])}\n"
    )


if __name__ == "__main__":
    main()

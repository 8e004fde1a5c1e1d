"""Quality of every method beside what the photons allow: a benchmark that cannot flatter.

    python benchmarks/quality.py [--set cpu|gpu] [--scans FOLDER] [--measured FILE] [--pretrained FILE ...]
                                 [--seeds 5] [--only CASE ...] [--rows FILE ...] [--out FOLDER]

For every case below and every seed (of object, noise and weights) a network learns from one scan for a stated time;
then every method reconstructs that scan and one of another object, and is scored against the truth in the same way.
The table gives medians and the worst seed, and says of each goal whether it is met, as computed from the rows.

--scans: folder of lines_train.npz and lines_test_newobj.npz; without it such scans are simulated.
--measured: siemens_star.npz, a measured scan without truth; without it that case is left out.
--pretrained: bundles that `ptycho pretrain` wrote, one a pattern size; without one its cases are left out.
--rows: rows.json of earlier runs, to be shown in one table with those measured now.
Without pty-chi (extra "baseline") its rows are left out.
"""

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import iterative_baseline
import numpy as np
import torch
from corrections import OUT_OF_FOCUS, out_of_focus
from quality_judge import LIKELIHOOD, Judge, covered, exposed
from quality_measured import CASE as STAR
from quality_measured import OBJECT as MEASURED
from quality_measured import OURS, PRETRAINED, STAR_SIZE, TRAINED, measure_star, measure_time_to_image
from quality_repairs import REFINED, measure_repair, solved
from quality_rows import Headline, Row, as_csv, as_json, from_json, tables

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.base.arrays import Probe
from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.preset import Preset, read_preset
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.report.demo_page import save_demo_page
from ptycho.simulation.probes import aperture
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.persistence.bundle import read_bundle
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.training.fit import fit

LEARNT, UNSEEN = "trained on", "unseen"
ALONE, OWN, CHECKED = "network alone", "network trained for it", "network + 20, checked"
BRIGHT = 1e5  # photons a frame, from which on the likelihood solution is the honest goal
CLOSE = 0.6  # overlap, from which on a scan determines its object


@dataclass(frozen=True)
class Lines:
    """The line scans of ``--scans`` (512 patterns of 64 x 64 px, overlap about 0.75), exposed again at another dose."""

    photons: float = 1e6
    overlap: float = 0.75


@dataclass(frozen=True)
class Case:
    """A kind of scan, and how the network learns from it.

    Attributes
    ----------
    name
        Of the rows.
    scan
        What is measured; the unseen scan is of another object.
    seconds
        Training takes as many epochs as fit in this time.
    preset
        Of `ptycho train`; the time decides how many epochs.
    model, training
        Fields that differ from the preset.
    network, flat
        Iterations after the network, and from a flat start.
    epochs
        Epochs of pty-chi's engines, on the first seed; none where empty.
    pretrained
        Whether training starts from the network of ``--pretrained`` for this size of pattern.
    other_probes
        Names in ``OTHER_PROBES``: the network meets them too, beside one that was trained for each.
    checked
        Whether the result after the most iterations also says how far it can be trusted, and is held to it.
    fewest_seeds
        Seeds even where fewer are asked for.
    """

    name: str
    scan: Simulation | Lines
    seconds: float
    preset: Preset = "balanced"
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    network: tuple[int, ...] = (10, 20)
    flat: tuple[int, ...] = (10, 20, 50)
    epochs: tuple[int, ...] = ()
    pretrained: bool = False
    other_probes: tuple[str, ...] = ()
    checked: bool = False
    fewest_seeds: int = 1


@dataclass(frozen=True)
class Repair:
    """A simulated scan whose file is wrong about positions or probe, and iterations that may put that right."""

    name: str
    what: Literal["positions", "probe"]
    scan: Simulation
    iterations: int
    fewest_seeds: int = 1


@dataclass(frozen=True)
class Star:
    """The measured scan of ``--measured``: no truth, one seed; beside pty-chi, or timed from file to image."""

    epochs: int = 0  # of the training that is timed; none where pty-chi is what counts
    name: str = STAR
    fewest_seeds: int = 1


@dataclass(frozen=True)
class Set:
    """Cases for a kind of machine, and how training there differs from the presets."""

    cases: tuple[Case | Repair | Star, ...]
    model: dict[str, Any]
    training: dict[str, Any]
    execution: dict[str, Any]
    workers: int  # processes that share the machine: a training of small batches leaves most of a GPU idle


OTHER_PROBES: dict[str, Callable[[Acquisition], Probe]] = {
    "another focus": lambda scan: out_of_focus(scan.probe, -OUT_OF_FOCUS),
    "another aperture": lambda scan: aperture(scan.size, float(np.sum(np.abs(scan.probe) ** 2))),
}
TINY = Simulation("dead_leaves", N=32, n_positions=36, photons=1e4)
ZONE_PLATE = Simulation(object="lines", probe="zone_plate", photons=1e9)  # as published figures for such scans


def cases(longer: float, others: float, star: Star) -> tuple[Case | Repair | Star, ...]:
    """Return all cases: seconds of the longer trainings and of the others, and what the measured scan is for."""
    return (
        Case("lines 1e6", Lines(), longer, epochs=(10, 20, 40), checked=True),
        Case("lines 1e5", Lines(1e5), others, checked=True),
        Case("lines 1e4", Lines(1e4), others, preset="low-dose", epochs=(10, 20, 40), checked=True),
        Case("lines 1e3", Lines(1e3), others, preset="low-dose"),
        Case("zone plate, groups of 4", ZONE_PLATE, others, model={"gridsize": 2}),
        Case("zone plate, each pattern alone", ZONE_PLATE, others, model={"object_big": False}),
        Case(
            "another probe",
            ZONE_PLATE,
            others,
            model={"architecture": "unrolled"},
            other_probes=("another focus", "another aperture"),
        ),
        Case("Siemens 1e9", Simulation("siemens", n_positions=4096, photons=1e9), longer),
        Case(
            "dead leaves, 128 patterns", Simulation("dead_leaves", scan="spiral", n_positions=128, photons=1e5), others
        ),
        Case(
            "pictures, 128 px",
            Simulation("picture", "zone_plate", "raster", N=128, n_positions=256, photons=1e6),
            others,
            fewest_seeds=10,
        ),
        Case(
            "pictures, 128 px, 128 patterns",
            Simulation("picture", "zone_plate", "raster", N=128, n_positions=128, photons=1e6),
            others,
            pretrained=True,
            fewest_seeds=10,
        ),
        Repair("wrong positions", "positions", Simulation(n_positions=256, photons=1e5), 150),
        Repair("wrong probe", "probe", Simulation(probe="zone_plate", n_positions=256, photons=1e5), 150),
        star,
    )


FOR_TWO_CORES = ("lines 1e6", "lines 1e4", "dead leaves, 128 patterns", "wrong positions", STAR)  # half an hour
SETS = {
    "cpu": Set(tuple(case for case in cases(60, 15, Star()) if case.name in FOR_TWO_CORES), {}, {}, {}, 1),
    "gpu": Set(
        cases(60, 20, Star(epochs=20)),
        {"lean_width": 48},
        {"batch_size": 64},
        {"learning_rate": 5e-4, "precision": "bf16-mixed"},
        6,
    ),
    "tiny": Set(  # a trial of the script itself
        (
            Case("tiny", TINY, 0.1, network=(20,), flat=(1,), checked=True),
            Case("tiny, pre-trained", TINY, 0.1, network=(20,), flat=(1,), pretrained=True),
        ),
        {"lean_width": 4},
        {},
        {},
        1,
    ),
}


def headlines(which: str) -> list[Headline]:
    """Return the goals: those of one case by name, and those that hold for a kind of scan."""
    alone = (35.0, 30.0) if which == "cpu" else (42.0, 38.0)
    goals = []
    for score, goal in zip(("amplitude_psnr", "phase_psnr"), alone, strict=True):
        goals.append(Headline("lines, network alone after 60 s", "lines 1e6", UNSEEN, ALONE, score, goal))
    goals.append(Headline("lines, network alone after 60 s", "lines 1e6", UNSEEN, ALONE, "training_seconds", 60.0))
    for object_ in (LEARNT, UNSEEN):
        for score in ("amplitude_below_likelihood", "phase_below_likelihood"):
            goals.append(
                Headline(
                    "lines, within 0.5 dB of ML in 10 iterations", "lines 1e6", object_, "network + 10", score, 0.5
                )
            )
    grouped, single, siemens = "zone plate, groups of 4", "zone plate, each pattern alone", "Siemens 1e9"
    for claim, case, score, goal in (
        ("structured probe, groups", grouped, "amplitude_psnr", 35.0),
        ("structured probe, groups", grouped, "amplitude_ssim", 0.995),
        ("structured probe, no overlap constraint", single, "amplitude_psnr", 27.0),
        ("structured probe, no overlap constraint", single, "amplitude_ssim", 0.96),
        ("Siemens star, simulated", siemens, "amplitude_ssim", 0.985),
        ("Siemens star, simulated", siemens, "phase_ssim", 0.985),
        ("Siemens star, simulated", siemens, "amplitude_psnr", 40.0),
        ("Siemens star, simulated", siemens, "phase_psnr", 32.0),
    ):
        goals.append(Headline(claim, case, LEARNT, ALONE, score, goal))
    for case in SETS[which].cases:
        if not isinstance(case, Case):
            continue
        for object_ in (LEARNT, UNSEEN):
            for score in ("amplitude_below_likelihood", "phase_below_likelihood"):
                if case.scan.photons >= BRIGHT and case.scan.overlap >= CLOSE:
                    claim, goal = "bright: within 1 dB of ML in 20 iterations", 1.0
                    goals.append(Headline(claim, case.name, object_, "network + 20", score, goal))
                elif case.scan.photons < BRIGHT:
                    claim, goal = "dim: 2 dB better than converged ML", -2.0
                    goals.append(Headline(claim, case.name, object_, "network + 20", score, goal))
            if case.scan.photons < BRIGHT:
                for score in ("amplitude_psnr", "phase_psnr"):
                    claim = "dim: never worse than the network alone"
                    goals.append(
                        Headline(claim, case.name, object_, "network + 20", score, 0.0, minus=ALONE, every_seed=True)
                    )
    claim = "a probe not seen: within 2 dB of a network trained for it"
    for name in OTHER_PROBES:
        for score in ("amplitude_psnr", "phase_psnr"):
            goals.append(Headline(claim, "another probe", name, ALONE, score, -2.0, minus=OWN))
    claim = "N = 128, every seed of ten"
    goals.append(Headline(claim, "pictures, 128 px", LEARNT, ALONE, "phase_pearson", 0.9, every_seed=True))
    claim, case = "N = 128, 128 patterns after pre-training, every seed of ten", "pictures, 128 px, 128 patterns"
    goals.append(Headline(claim, case, LEARNT, ALONE, "phase_pearson", 0.9, every_seed=True))
    claim = "68 % intervals cover 60 to 76 %"
    for case in SETS[which].cases:
        if isinstance(case, Case) and case.checked:
            for score in ("amplitude_cover_error", "phase_cover_error"):
                goals.append(Headline(claim, case.name, UNSEEN, CHECKED, score, 0.08))
    claim, score = "positions off by 3 px rms, to 0.3 px", "position_error"
    goals.append(Headline(claim, "wrong positions", LEARNT, f"positions {REFINED}", score, 0.3))
    claim = "probe 30 % out of focus, recovered"
    goals.append(Headline(claim, "wrong probe", LEARNT, f"probe {REFINED}", "probe_error", 0.05))
    if which == "cpu":
        for score, goal in (("r_factor", 0.155), ("frc_half", 0.48), ("phase_frc_half", 0.48), ("cpu_share", 0.2)):
            goals.append(Headline(STAR, STAR, MEASURED, OURS, score, goal))
    else:
        for method, goal in ((TRAINED, 30.0), (PRETRAINED, 5.0)):
            goals.append(Headline(f"{STAR}, in {goal:g} s", STAR, MEASURED, method, "seconds", goal))
    names = {case.name for case in SETS[which].cases}
    return [goal for goal in goals if goal.case in names]


@dataclass(frozen=True)
class Job:
    """One case with one seed, and where scans are read from and pictures go."""

    which: str
    case: Case | Repair | Star
    seed: int
    scans: Path | None
    measured: Path | None
    bundles: dict[int, Path]
    pictures: Path | None


def measure(job: Job) -> list[Row]:
    """Return the rows of a case with one seed."""
    device = resolve_device("auto")
    match job.case:
        case Star(epochs=0):
            return measure_star(job.measured, machine(device), device)
        case Star() as case:
            return measure_time_to_image(job.measured, networks(job, case.epochs), machine(device), device)
        case Repair() as case:
            scan = simulate(case.scan, np.random.default_rng(job.seed))
            judge = Judge(case.name, LEARNT, job.seed, machine(device), scan, device)
            measure_repair(judge, case.what, case.iterations, np.random.default_rng([job.seed, 1]))
            return judge.rows
        case Case() as case:
            return measure_network(job, case, device)


def measure_network(job: Job, case: Case, device: torch.device) -> list[Row]:
    """Train on a scan, and return the rows of every method on it and on a scan of another object."""
    scans = scans_of(case, job)
    pinn, training_seconds = train(job, case, scans[LEARNT])
    rows = []
    for name, scan in scans.items():
        judge = Judge(case.name, name, job.seed, machine(device), scan, device)
        judge.measure_limits()
        for iterations in (0, *case.network):
            method = f"network + {iterations}" if iterations else ALONE
            refined = partial(reconstruct, pinn, scan, device=device, refinement=Refinement(iterations))
            judge.measure(method, lambda run=refined: run().final, training_seconds=training_seconds)
        if case.checked:
            start = time.perf_counter()
            result = reconstruct(*(pinn, scan), device=device, refinement=Refinement(case.network[-1]), check=True)
            times = {"seconds": time.perf_counter() - start, "training_seconds": training_seconds}
            judge.add(CHECKED, result.final, times)
            judge.rows[-1].scores.update(covered(judge.comparisons[CHECKED], result.final, result.check))
        for iterations in case.flat:
            judge.measure(f"flat + {iterations}", partial(solved, scan, Refinement(iterations), device))
        if job.seed == 0 and case.epochs and iterative_baseline.is_installed():
            for engine in iterative_baseline.ENGINES:
                for found in iterative_baseline.after_epochs(engine, scan, case.epochs, device=device):
                    times = {"seconds": found.seconds, "cpu_seconds": found.cpu_seconds}
                    judge.add(f"pty-chi {engine}, {found.epochs} epochs", found.reconstruction, times)
        if job.pictures and job.seed == 0 and name == UNSEEN:
            shown = (ALONE, f"network + {case.network[-1]}", LIKELIHOOD)
            save_demo_page(
                job.pictures / f"{case.name}.png".replace(" ", "-").replace(",", ""),
                title=f"{case.name}, {name}",
                scan=scan,
                comparisons={method: judge.comparisons[method] for method in shown},
            )
        rows += judge.rows
    for number, name in enumerate(case.other_probes):
        scan = simulate(case.scan, np.random.default_rng([job.seed, 2, number]))
        other = replace(scan, probe=OTHER_PROBES[name](scan))
        scan = exposed(other, case.scan.photons, np.random.default_rng([job.seed, 3, number]))
        judge = Judge(case.name, name, job.seed, machine(device), scan, device)
        judge.measure_limits()
        for method, (network, seconds) in ((ALONE, (pinn, training_seconds)), (OWN, train(job, case, scan))):
            refined = partial(reconstruct, network, scan, device=device)
            judge.measure(method, lambda run=refined: run().final, training_seconds=seconds)
        rows += judge.rows
    return rows


def networks(job: Job, epochs: int) -> dict[str, Callable[[Acquisition], PtychoPINN]]:
    """Return where a network for the measured scan can come from: a training on it, and a bundle where there is one."""

    def trained(scan: Acquisition) -> PtychoPINN:
        with tempfile.TemporaryDirectory() as folder:
            return fit(*choices_of(job, Case(STAR, Lines(), 0, "quick"), scan, epochs, Path(folder)), scan).pinn

    found: dict[str, Callable[[Acquisition], PtychoPINN]] = {TRAINED: trained}
    if STAR_SIZE in job.bundles:
        found[PRETRAINED] = lambda _: read_bundle(job.bundles[STAR_SIZE]).pinn
    return found


def scans_of(case: Case, job: Job) -> dict[str, Acquisition]:
    """Return the scan to learn from and one of another object; noise and simulated objects depend on the seed."""
    wanted, names = case.scan, (LEARNT, UNSEEN)
    if isinstance(wanted, Lines) and job.scans is None:
        wanted = Simulation(photons=wanted.photons, overlap=wanted.overlap)
    if isinstance(wanted, Simulation):
        return {name: simulate(wanted, np.random.default_rng([job.seed, i])) for i, name in enumerate(names)}
    return {
        name: exposed(read(job.scans / file), wanted.photons, np.random.default_rng([job.seed, i]))
        for i, (name, file) in enumerate(zip(names, ("lines_train.npz", "lines_test_newobj.npz"), strict=True))
    }


def train(job: Job, case: Case, scan: Acquisition) -> tuple[PtychoPINN, float]:
    """Train for as many epochs as fit in the case's seconds, by the pace of epochs tried before; return what it took.

    On a CPU seconds are those of the process over its threads, so that others on the machine do not count.
    """

    def epochs(n: int) -> tuple[PtychoPINN, float]:
        start = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            done = fit(*choices_of(job, case, scan, n, Path(folder)), scan)
        cpu_seconds = (time.process_time() - start) / torch.get_num_threads()
        return done.pinn, cpu_seconds if resolve_device("auto").type == "cpu" else done.seconds

    # The first steps are slower than those that follow.
    one, three = (epochs(n)[1] for n in (1, 3))
    pace = max(three - one, 0.1 * three) / 2
    return epochs(max(1, int((case.seconds - (one - pace)) / pace)))


def choices_of(
    job: Job, case: Case, scan: Acquisition, epochs: int, folder: Path
) -> tuple[TrainingConfig, PyTorchExecutionConfig]:
    """Return the choices of a training: those of the case over those of the set over those of the preset."""
    chosen, preset = SETS[job.which], read_preset(case.preset)
    machine_choices = preset.pop("execution") | chosen.execution
    execution = PyTorchExecutionConfig(enable_checkpointing=False, enable_progress_bar=False, **machine_choices)
    model = ModelConfig(**(preset.pop("model") | {"N": scan.size} | chosen.model | case.model))
    choices = preset | chosen.training | case.training
    if case.pretrained:
        bundle = job.bundles[scan.size]
        model, choices = read_bundle(bundle).config.model, choices | {"from_bundle": bundle}
    changes = {"nepochs": epochs, "subsample_seed": job.seed, "output_dir": folder}
    return TrainingConfig(model, **(choices | changes)), execution


@cache
def machine(device: torch.device) -> str:
    """Return a line about the machine and the versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads of CPU"
    return f"{name}; Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}"


def done(jobs: list[Job], workers: int) -> Iterator[list[Row]]:
    """Yield the rows of every job as they come."""
    if workers == 1:
        yield from map(measure, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for finished in as_completed([pool.submit(measure, job) for job in jobs]):
            yield finished.result()


def main() -> None:
    """Print the tables, and write them, the raw rows and the pictures where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=list(SETS), default="cpu")
    parser.add_argument("--scans", type=Path)
    parser.add_argument("--measured", type=Path)
    parser.add_argument("--pretrained", nargs="+", default=[], type=Path, metavar="FILE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, help="processes that share the machine; by the set where left out")
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE")
    parser.add_argument("--rows", nargs="+", default=[], type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    chosen = SETS[asked.set]
    names = [case.name for case in chosen.cases]
    if unknown := set(asked.only) - set(names):
        parser.error(f"found {', '.join(sorted(unknown))}; --only takes cases of the set: {'; '.join(names)}")
    rows = [row for file in asked.rows for row in from_json(file.read_text(encoding="utf-8"))]
    bundles = {read_bundle(file).config.model.N: file for file in asked.pretrained}
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
    jobs = [
        Job(asked.set, case, seed, asked.scans, asked.measured, bundles, asked.out)
        for seed in range(max(asked.seeds, *(case.fewest_seeds for case in chosen.cases)))
        for case in chosen.cases
        if (not asked.only or case.name in asked.only)
        and seed < (1 if isinstance(case, Star) else max(asked.seeds, case.fewest_seeds))
        and not (isinstance(case, Star) and asked.measured is None)
        and not (isinstance(case, Case) and case.pretrained and case.scan.N not in bundles)
    ]
    started = time.perf_counter()
    for found in done(jobs, asked.workers or chosen.workers):
        rows += found
        print(f"{time.perf_counter() - started:5.0f} s: {found[0].case}, seed {found[0].seed}", flush=True)
        report = written(rows, headlines(asked.set), time.perf_counter() - started, asked.out)
    print(report)


def written(rows: list[Row], goals: list[Headline], seconds: float, folder: Path | None) -> str:
    """Return the report so far, and keep it with the raw rows: a run that is cut off leaves what it has measured."""
    machines = "\n".join(dict.fromkeys(row.machine for row in rows))
    report = (
        f"$ {' '.join(['python', *sys.argv])}\n{machines}\n{seconds:.0f} s; {time.strftime('%Y-%m-%d')}\n"
        f"PSNR with peak 1 and 1 rad; FRC as a fraction of Nyquist; times of one method on one scan\n\n"
        f"{tables(rows, goals)}"
    )
    if folder:
        write_text(folder / "table.txt", report)
        write_text(folder / "rows.csv", as_csv(rows))
        write_text(folder / "rows.json", as_json(rows))
    return report


if __name__ == "__main__":
    main()

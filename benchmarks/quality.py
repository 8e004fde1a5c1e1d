"""Quality of every method beside what the photons allow: a benchmark that cannot flatter.

    python benchmarks/quality.py [--set cpu|gpu] [--scans FOLDER] [--measured FILE] [--pretrained FILE ...]
                                 [--seeds 5] [--only CASE ...] [--seconds S] [--rows FILE ...] [--out FOLDER]

For every case of quality_cases.py and every seed (of object, noise and weights) a network learns from one scan for a
stated time; then every method reconstructs that scan and one of another object, and is scored in the same way.
The table gives medians and the worst seed, and says of each goal whether it is met, as computed from the rows.

--scans: folder of lines_train.npz and lines_test_newobj.npz; without it such scans are simulated.
--measured: siemens_star.npz, a measured scan without truth; without it that case is left out.
--pretrained: bundles that `ptycho pretrain` wrote, one a pattern size; without one its cases are left out.
--seconds: of every training, in place of what the case says.
--rows: rows.json of earlier runs, to be shown in one table with those measured now (with --seeds 0 those alone).
Without pty-chi (extra "baseline") its rows are left out.
"""

import argparse
import os
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import iterative_baseline
import numpy as np
import torch
from quality_cases import (
    ALONE,
    CHECKED,
    LEARNT,
    OTHER_PROBES,
    OWN,
    SETS,
    STAR,
    UNSEEN,
    Case,
    Lines,
    Repair,
    Star,
    headlines,
)
from quality_judge import LIKELIHOOD, Judge, covered, exposed
from quality_measured import PRETRAINED, STAR_SIZE, TRAINED, measure_star, measure_time_to_image
from quality_repairs import measure_repair, solved
from quality_rows import Headline, Row, as_csv, as_json, from_json, tables

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.base.atomic import write_text
from ptycho.base.processors import shared_threads
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.preset import read_preset
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.report.demo_page import save_demo_page
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.reconstruct import reconstruct
from ptycho_torch.persistence.bundle import read_bundle
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.training.fit import fit


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

    # The first steps are slower than those that follow, on a GPU also until one is recorded.
    few = max(1, 8 * SETS[job.which].training.get("batch_size", 16) // scan.n_positions)
    one, three = (epochs(n)[1] for n in (few, 3 * few))
    pace = max(three - one, 0.1 * three) / (2 * few)
    fitting = max(1, int((case.seconds - (one - few * pace)) / pace))
    # With few photons more epochs than the preset has learn their noise.
    return epochs(min(fitting, int(read_preset(case.preset)["nepochs"])) if case.preset == "low-dose" else fitting)


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
    # Where each took all threads, they would wait for each other.
    os.environ.update(shared_threads(workers))
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
    parser.add_argument("--seconds", type=float)
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
        Job(asked.set, timed(case, asked.seconds), seed, asked.scans, asked.measured, bundles, asked.out)
        for seed in range(max(asked.seeds, *(case.fewest_seeds for case in chosen.cases)))
        for case in chosen.cases
        if asked.seeds
        and (not asked.only or case.name in asked.only)
        and seed < (1 if isinstance(case, Star) else max(asked.seeds, case.fewest_seeds))
        and not (isinstance(case, Star) and asked.measured is None)
        and not (isinstance(case, Case) and case.pretrained and case.scan.N not in bundles)
    ]
    started = time.perf_counter()
    for found in done(jobs, asked.workers or chosen.workers):
        rows += found
        print(f"{time.perf_counter() - started:5.0f} s: {found[0].case}, seed {found[0].seed}", flush=True)
        written(rows, headlines(asked.set), time.perf_counter() - started, asked.out)
    print(written(rows, headlines(asked.set), time.perf_counter() - started, asked.out))


def timed(case: Case | Repair | Star, seconds: float | None) -> Case | Repair | Star:
    """Return the case with trainings of so many seconds; as it is where None."""
    return replace(case, seconds=seconds) if seconds is not None and isinstance(case, Case) else case


def written(rows: list[Row], goals: list[Headline], seconds: float, folder: Path | None) -> str:
    """Return the report so far, and keep it with the raw rows: a run that is cut off leaves what it has measured."""
    machines = "\n".join(dict.fromkeys(row.machine for row in rows))
    report = (
        f"$ {shlex.join(['python', *sys.argv])}\n{machines}\n{seconds:.0f} s; {time.strftime('%Y-%m-%d')}\n"
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

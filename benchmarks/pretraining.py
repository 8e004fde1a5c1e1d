"""What pre-training is worth: unseen probes, few patterns, tuning, and the time from a raw file to an image.

    python benchmarks/pretraining.py [--small RUN] [--large RUN] [--star FILE] [--seeds 5] [--epochs 60] [--out FILE]

``--small`` is a bundle of `ptycho pretrain` for patterns of 64 x 64 px: it is put behind probes that it has not seen,
beside networks that were trained for each of them on another object, and tuned on the scan itself beside networks that
start from nothing. ``--large`` is one for 128 x 128 px: it meets scans of 128 patterns, and with ``--star`` a measured
scan, from the file to the refined image.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from quality import machine

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import read
from ptycho.base.arrays import Probe
from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import Comparison, compare
from ptycho.optics.probe import probe_diameter
from ptycho.report.tables import text_table
from ptycho.simulation.objects import OBJECTS
from ptycho.simulation.probes import PROBES
from ptycho.simulation.scans import SCANS
from ptycho.simulation.simulate import expected_counts
from ptycho.simulation.variety import draw_probe
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.reconstruct import Result, maximum_likelihood, reconstruct
from ptycho_torch.persistence.bundle import read_bundle
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.training.fit import Fit, fit

PHOTONS = 1e6
OVERLAP = 0.75
ITERATIONS = 10
TUNING_EPOCHS = (1, 3, 10)
TUNING_RATE = 2e-4
BATCH = 256

Row = list[object]


def main() -> None:
    """Print the tables, and write them where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("small", "large", "star", "out"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    asked = parser.parse_args()
    device = resolve_device("auto")
    said = [f"$ {' '.join(['python', *sys.argv])}", f"{machine(device)}; {time.strftime('%Y-%m-%d')}"]
    for part in parts(asked, device):
        print(part, flush=True)
        said.append(part)
    if asked.out:
        write_text(asked.out, "\n\n".join(said) + "\n")


def parts(asked: argparse.Namespace, device: torch.device) -> Iterator[str]:
    """Yield each table when it is ready."""
    if asked.small:
        yield "Unseen probes\n" + unseen_probes(asked.small, asked.epochs, device)
        yield "Tuning on the scan itself, against a start from nothing\n" + tuning(asked.small, asked.seeds, device)
    if asked.large:
        yield "Scans of 128 patterns of 128 x 128 px\n" + few_patterns(asked.large, 2 * asked.seeds, device)
    if asked.large and asked.star:
        yield "From the raw file to the image\n" + raw_to_image(asked.large, asked.star, device)


def probes(N: int) -> dict[str, Probe]:
    """Return the probes of ``ptycho simulate``, and three of the kinds that pre-training draws, of another seed."""
    named = {name: make(N, 1.0) for name, make in PROBES.items()}
    return named | {f"drawn {seed}": draw_probe(N, 1, np.random.default_rng([99, seed])) for seed in range(3)}


def scan_behind(probe: Probe, object_name: str, n_positions: int, seed: int, photons: float = PHOTONS) -> Acquisition:
    """Return a scan of an object behind a probe of unit power."""
    rng = np.random.default_rng(seed)
    N = probe.shape[-1]
    scan = SCANS["random"](n_positions, (1 - OVERLAP) * probe_diameter(probe), rng)
    positions = scan - scan.min(axis=0) + N // 2 + 2
    height, width = np.ceil(positions.max(axis=0)).astype(int) + N // 2 + 2
    object_ = OBJECTS[object_name]((int(height), int(width)), rng)
    lit = (np.sqrt(photons) * probe).astype(np.complex64)
    return Acquisition(
        patterns=rng.poisson(expected_counts(object_, lit, positions)).astype(np.uint32),
        positions=positions,
        probe=lit,
        mask=np.ones((N, N), dtype=bool),
        quantity="counts",
        count_scale=1.0,
        origin="simulated",
        object_=object_,
    )


def unseen_probes(bundle: Path, epochs: int, device: torch.device) -> str:
    """Return PSNR behind probes that the network has not seen, and of networks that know each of them."""
    pinn = read_bundle(bundle).pinn
    rows: list[Row] = []
    for name, probe in probes(64).items():
        known, unseen = (scan_behind(probe, "lines", 512, seed) for seed in (1, 2))
        own = trained(known, epochs, ModelConfig(N=64)).pinn
        limit = compare(maximum_likelihood(unseen, device=device), unseen.object_)
        rows.append([name, *both(reconstructed(pinn, unseen, device), unseen)])
        rows[-1] += [*both(reconstructed(own, unseen, device), unseen), psnr(limit)]
    headers = ["probe", "pre-trained", f"+ {ITERATIONS}", "trained for it", f"+ {ITERATIONS}", "likelihood limit"]
    return text_table(headers, rows)


def tuning(bundle: Path, seeds: int, device: torch.device) -> str:
    """Return the medians over seeds of PSNR and seconds after some epochs on the scan itself."""
    model = read_bundle(bundle).config.model
    rows: list[Row] = []
    for object_name in ("lines", "dead_leaves"):
        for epochs in TUNING_EPOCHS:
            for start in (bundle, None):
                scores, seconds = [], []
                for seed in range(seeds):
                    scan = scan_behind(PROBES["zone_plate"](64, 1.0), object_name, 512, 10 + seed)
                    done = trained(scan, epochs, model, start, seed)
                    scores.append(compare(reconstructed(done.pinn, scan, device).stitched, scan.object_))
                    seconds.append(done.seconds)
                middle = [statistics.median(getattr(score, name) for score in scores) for name in MEASURES]
                began = "nothing" if start is None else "the bundle"
                rows.append([object_name, began, epochs, round(statistics.median(seconds), 1), *middle])
    return text_table(["object", "start", "epochs", "s", "amplitude dB", "phase dB"], rows)


MEASURES = ("amplitude_psnr", "phase_psnr")


def few_patterns(bundle: Path, seeds: int, device: torch.device) -> str:
    """Return how often the phase of a scan of 128 patterns is right (Pearson correlation from 0.9 up)."""
    pinn = read_bundle(bundle).pinn
    rows: list[Row] = []
    for object_name in ("lines", "dead_leaves"):
        alone, finished, seconds = [], [], []
        for seed in range(seeds):
            scan = scan_behind(draw_probe(128, 1, np.random.default_rng([98, seed])), object_name, 128, seed)
            result = reconstructed(pinn, scan, device)
            alone.append(compare(result.stitched, scan.object_).phase_pearson)
            finished.append(compare(result.final, scan.object_).phase_pearson)
            seconds.append(sum(result.seconds.values()))
        right = [f"{sum(found >= 0.9 for found in each)} of {seeds}" for each in (alone, finished)]
        rows.append([object_name, right[0], min(alone), right[1], min(finished), round(statistics.median(seconds), 2)])
    headers = ["object", "alone, right", "worst", f"+ {ITERATIONS}, right", "worst", "s"]
    return text_table(headers, rows)


def raw_to_image(bundle: Path, star: Path, device: torch.device) -> str:
    """Return the seconds from a raw file to the stitched and refined image, and the R-factor."""
    reconstructed(
        read_bundle(bundle).pinn, read(star), device
    )  # what the first call of a process costs is not the scan's
    rows: list[Row] = []
    for iterations in (0, 10, 30):
        since = time.perf_counter()
        result = reconstructed(read_bundle(bundle).pinn, read(star), device, iterations)
        rows.append([iterations, round(time.perf_counter() - since, 2), result.r_factor])
    return text_table(["iterations", "s", "R-factor"], rows)


def trained(scan: Acquisition, epochs: int, model: ModelConfig, start: Path | None = None, seed: int = 0) -> Fit:
    """Return a training on a scan."""
    with tempfile.TemporaryDirectory() as folder:
        config = TrainingConfig(model, nepochs=epochs, from_bundle=start, subsample_seed=seed, output_dir=Path(folder))
        rate = PyTorchExecutionConfig().learning_rate if start is None else TUNING_RATE
        return fit(config, PyTorchExecutionConfig(learning_rate=rate, enable_checkpointing=False), scan)


def reconstructed(pinn: PtychoPINN, scan: Acquisition, device: torch.device, iterations: int = ITERATIONS) -> Result:
    """Return the image of a scan, by the network alone and after the iterations."""
    return reconstruct(pinn, scan, device=device, batch_size=BATCH, refinement=Refinement(iterations=iterations))


def both(result: Result, scan: Acquisition) -> list[str]:
    """Return the PSNR of the network alone and after the iterations."""
    return [psnr(compare(each, scan.object_)) for each in (result.stitched, result.final)]


def psnr(found: Comparison) -> str:
    """Return amplitude and phase, dB."""
    return f"{found.amplitude_psnr:.1f} / {found.phase_psnr:.1f}"


if __name__ == "__main__":
    main()

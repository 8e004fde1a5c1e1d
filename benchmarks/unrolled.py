"""The unrolled network beside the lean one, behind the probe that they were trained for and behind others.

    python benchmarks/unrolled.py [--probes NAME ...] [--N 64] [--photons 1e6] [--thinning 0] [--epochs 40]
                                  [--pretrained BUNDLE] [--out FILE]

Every scan is simulated: lines, 512 frames. A network trained for a probe learns from one object
behind it and is scored on another; one trained behind the usual probe, and one pre-trained (``ptycho pretrain``), are
scored on the same scan. The lean network is given as many times the epochs as the unrolled one makes passes, which
takes about the same time.
"""

import argparse
import platform
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.atomic import write_text
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.model import ModelConfig
from ptycho.config.refinement import Refinement
from ptycho.config.training import TrainingConfig
from ptycho.metrics.summary import compare
from ptycho.report.tables import text_table
from ptycho.simulation.probes import PROBES, aperture
from ptycho.simulation.simulate import Simulation, simulate
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.reconstruct import maximum_likelihood, reconstruct
from ptycho_torch.persistence.bundle import read_bundle
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.training.fit import Fit, fit

USUAL = "usual"
# Name -> radius of the aperture as a share of N, phase at its rim (defocus), rad.
APERTURES = {USUAL: (0.25, 2.0), "smaller": (0.2, 2.0), "farther": (0.25, 4.0), "behind focus": (0.25, -2.0)}
ARCHITECTURES = ("lean", "unrolled")
LEARNT, SCORED = 0, 1  # seeds of the objects


def main() -> None:
    """Print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained", type=Path)
    parser.add_argument("--probes", nargs="+", choices=list(APERTURES), default=list(APERTURES))
    parser.add_argument("--N", type=int, default=64)
    parser.add_argument("--photons", type=float, default=1e6)
    parser.add_argument("--thinning", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    device = resolve_device("auto")
    for name, (rim, phase) in APERTURES.items():
        PROBES[name] = partial(aperture, rim=rim, phase=phase)
    elsewhere = {kind: trained(kind, USUAL, asked) for kind in ARCHITECTURES}
    pretrained = None if asked.pretrained is None else read_bundle(asked.pretrained).pinn
    rows: list[list[object]] = []
    for probe in asked.probes:
        scan = scan_of(probe, SCORED, asked)

        def add(
            method: str, seconds: float | None, pinn: PtychoPINN, probe: str = probe, scan: Acquisition = scan
        ) -> None:
            alone, refined = (reconstruct(pinn, scan, device=device, refinement=Refinement(n)) for n in (0, 10))
            took = "" if seconds is None else f"{seconds:.0f}"
            rows.append([probe, method, took, *score(alone.final, scan), *score(refined.final, scan)])
            print(*rows[-1], flush=True)

        for kind in ARCHITECTURES:
            done = elsewhere[kind] if probe == USUAL else trained(kind, probe, asked)
            add(f"{kind}, trained for it", done.seconds, done.pinn)
        if probe != USUAL:
            for kind in ARCHITECTURES:
                add(f"{kind}, trained behind the usual one", None, elsewhere[kind].pinn)
        if pretrained is not None:
            add("pre-trained", None, pretrained)
        limit = score(maximum_likelihood(scan, device=device), scan)
        rows.append([probe, "limit (likelihood from the truth)", "", *limit, *limit])
    headers = ["probe", "network", "trained, s", "amplitude dB", "phase dB", "+ 10 its, amplitude dB", "phase dB"]
    report = (
        f"$ {' '.join(['python', *map(str, sys.argv)])}\n{machine(device)}; {time.strftime('%Y-%m-%d')}\n"
        f"PSNR with peak 1 and 1 rad, unseen object; network alone, and with 10 iterations\n\n"
        f"{text_table(headers, rows)}\n"
    )
    print(report)
    if asked.out:
        write_text(asked.out, report)


def scan_of(probe: str, seed: int, asked: argparse.Namespace) -> Acquisition:
    """Return a scan of an object of its own behind a probe."""
    return simulate(Simulation(probe=probe, N=asked.N, photons=asked.photons), np.random.default_rng(seed))


def score(reconstruction: Reconstruction, scan: Acquisition) -> tuple[float, float]:
    """Return the PSNR of amplitude and phase over the region that the scan covers, less the ambiguities."""
    found = compare(reconstruction, scan.object_)
    return found.amplitude_psnr, found.phase_psnr


def machine(device: torch.device) -> str:
    """Return a line about the machine and the versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads of CPU"
    return f"{name}; Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}"


def trained(architecture: str, probe: str, asked: argparse.Namespace) -> Fit:
    """Return a network trained on a scan behind a probe."""
    scan = scan_of(probe, LEARNT, asked)
    model = ModelConfig(N=scan.size, architecture=architecture)
    with tempfile.TemporaryDirectory() as folder:
        config = TrainingConfig(
            model,
            nepochs=asked.epochs * (model.passes if architecture == "lean" else 1),
            batch_size=asked.batch_size,
            thinning=asked.thinning,
            output_dir=Path(folder),
        )
        execution = PyTorchExecutionConfig(
            precision=asked.precision, learning_rate=asked.learning_rate, enable_checkpointing=False
        )
        return fit(config, execution, scan)


if __name__ == "__main__":
    main()

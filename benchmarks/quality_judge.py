"""The judge of the quality benchmark: every method on one scan, scored in one way beside the limits of that scan."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from quality_rows import Row

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.metrics.limit import Limit
from ptycho.metrics.self_check import SelfCheck
from ptycho.metrics.summary import Comparison, compare
from ptycho.simulation.simulate import expected_counts
from ptycho_torch.inference.limit import shot_noise_limit
from ptycho_torch.inference.reconstruct import maximum_likelihood

LIKELIHOOD, BOUND = "ML from truth", "shot-noise bound"
WITHIN_ONE_DEVIATION = 0.6827
COMPARED = frozenset(
    {
        "complex_nrmse",
        "amplitude_psnr",
        "phase_psnr",
        "amplitude_ssim",
        "phase_ssim",
        "amplitude_pearson",
        "phase_pearson",
        "frc_half",
        "frc_half_bit",
    }
)


@dataclass
class Judge:
    """Scores methods against the truth of a scan, after removing the same ambiguities for all of them.

    Attributes
    ----------
    case, object_, seed, machine
        Of the rows.
    scan
        A scan with its truth.
    device
        Where the methods run.
    rows, comparisons
        What was found, by method.
    limit
        What shot noise allows on this scan, once it has been measured.
    """

    case: str
    object_: str
    seed: int
    machine: str
    scan: Acquisition
    device: torch.device
    rows: list[Row] = field(default_factory=list)
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    limit: Limit | None = None

    def measure_limits(self) -> None:
        """Add what shot noise allows, and the converged likelihood solution that starts from the truth.

        The methods that follow are held against both.
        """
        start, cpu_start = time.perf_counter(), time.process_time()
        self.limit = shot_noise_limit(self.scan, device=self.device)
        times = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start}
        scores = {"amplitude_psnr": self.limit.amplitude_db, "phase_psnr": self.limit.phase_db}
        self.rows.append(Row(self.case, self.object_, BOUND, self.seed, self.machine, scores | times))
        self.measure(LIKELIHOOD, lambda: maximum_likelihood(self.scan, device=self.device))

    def measure(self, method: str, run: Callable[[], Reconstruction], **further: float) -> Reconstruction:
        """Run a method, add its row with the seconds that it took and further scores, and return what it found."""
        start, cpu_start = time.perf_counter(), time.process_time()
        found = run()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        times = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start}
        self.add(method, found, times | further)
        return found

    def add(self, method: str, found: Reconstruction, further: Mapping[str, float]) -> None:
        """Add the row of what a method found, and further scores."""
        comparison = compare(found, self.scan.object_)
        self.comparisons[method] = comparison
        scores = {name: value for name, value in vars(comparison).items() if name in COMPARED}
        scores["amplitude_spread"] = comparison.amplitude_std / comparison.reference_amplitude_std
        scores["phase_spread"] = comparison.phase_std / comparison.reference_phase_std
        best = self.comparisons.get(LIKELIHOOD)
        if best is not None:
            scores["amplitude_below_likelihood"] = best.amplitude_psnr - comparison.amplitude_psnr
            scores["phase_below_likelihood"] = best.phase_psnr - comparison.phase_psnr
        if self.limit is not None:
            scores["amplitude_below_bound"] = self.limit.amplitude_db - comparison.amplitude_psnr
            scores["phase_below_bound"] = self.limit.phase_db - comparison.phase_psnr
            allowed = np.interp(comparison.frc.frequency, self.limit.frequency, self.limit.frc_max)
            scores["frc_of_limit"] = comparison.frc.correlation.mean() / allowed.mean()
        if "deviance" in found.history:
            scores["iterations"] = len(found.history["deviance"]) - 1
        scores |= further
        finite = {name: float(value) for name, value in scores.items() if math.isfinite(value)}
        self.rows.append(Row(self.case, self.object_, method, self.seed, self.machine, finite))


def covered(comparison: Comparison, found: Reconstruction, check: SelfCheck) -> dict[str, float]:
    """Return the share of amplitudes and of phases that lie within one stated deviation of the truth, and how far off.

    Of normal errors 68 % do.
    """
    top, left = np.round(comparison.origin - found.origin).astype(int)
    height, width = comparison.mask.shape
    box = slice(top, top + height), slice(left, left + width)
    image, truth = comparison.aligned.image, comparison.reference
    scores = {}
    for name, error, deviation in (
        ("amplitude", np.abs(image) - np.abs(truth), check.amplitude_deviation / comparison.aligned.scale),
        ("phase", np.angle(image * truth.conj()), check.phase_deviation),
    ):
        known = comparison.mask & np.isfinite(deviation[box])
        share = float(np.mean(np.abs(error[known]) <= deviation[box][known]))
        scores |= {f"{name}_covered": share, f"{name}_cover_error": abs(share - WITHIN_ONE_DEVIATION)}
    return scores


def exposed(scan: Acquisition, photons: float, rng: np.random.Generator) -> Acquisition:
    """Return a simulated scan as it would have been measured with so many photons in a frame of its open probe."""
    factor = photons / float(np.sum(np.abs(scan.probe.astype(np.complex128)) ** 2))
    probe = (np.sqrt(factor) * scan.probe).astype(np.complex64)
    parts = np.array_split(scan.positions, max(1, scan.n_positions // 64))
    counts = np.concatenate([rng.poisson(expected_counts(scan.object_, probe, part)) for part in parts])
    return replace(scan, patterns=counts.astype(np.uint32), probe=probe, quantity="counts", count_scale=1.0)

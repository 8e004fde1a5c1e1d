"""What a reconstruction says of itself without a truth: agreement of halves, uncertainty, frames that don't fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy import ndarray

from ptycho.base.atomic import atomic_path
from ptycho.metrics.agreement import Agreement, Map

THRESHOLDS: dict[str, Any] = {"half_bit": "half_bit", "one_bit": "one_bit", "one_seventh": 1 / 7}
N_WORST = 6


@dataclass(frozen=True, eq=False)
class WorstFrames:
    """The frames that fit worst, worst first: their numbers in the scan; counts measured and expected, (frame, y, x).

    Pixels that the detector mask leaves out are zero in both.
    """

    indices: Int64[ndarray, " frame"]
    measured: Float32[ndarray, "frame y x"]
    expected: Float32[ndarray, "frame y x"]


@dataclass(frozen=True, eq=False)
class SelfCheck:
    """Numbers that need no truth.

    Attributes
    ----------
    agreement
        Of two halves of the scan; None where a half would be too small.
    shot_noise
        (height, width) least standard deviation of a complex pixel of the object that the photons allow, probe and
        neighbours known: 1 / sqrt(information), dimensionless; NaN where no light fell.
    deviance, z
        (position,) mean Poisson deviance of a trusted pixel of every frame, and how many standard deviations the
        frame's deviance lies above what Poisson noise around the expected counts gives.
    worst
        The frames with the largest z.
    seconds
        What it took.
    """

    agreement: Agreement | None
    shot_noise: Map
    deviance: Float64[ndarray, " position"]
    z: Float64[ndarray, " position"]
    worst: WorstFrames
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return what summary.json says: crossings in fractions of Nyquist, None where halves were too small."""
        frc = None if self.agreement is None else self.agreement.frc
        crossings = {name: frc.crossing(threshold) if frc else None for name, threshold in THRESHOLDS.items()}
        return {
            "frc_crossings": crossings,
            "frc_of": "two halves of the scan, each with half the dose; fractions of Nyquist",
            "mean_deviance": float(self.deviance.mean()),
            "median_z": float(np.median(self.z)),
            "worst_frames": [
                {"frame": i, "z": float(self.z[i]), "deviance": float(self.deviance[i])}
                for i in self.worst.indices.tolist()
            ],
            "seconds": self.seconds,
        }

    def write(self, path: Path) -> None:
        """Write an npz with keys shot_noise, deviance, z; halves_deviation and frc_* where there are halves.

        Raises
        ------
        OutputError
            The file can't be written.
        """
        arrays: dict[str, Any] = {"shot_noise": self.shot_noise, "deviance": self.deviance, "z": self.z}
        if self.agreement is not None:
            arrays["halves_deviation"] = self.agreement.deviation
            arrays |= {f"frc_{name}": curve for name, curve in vars(self.agreement.frc).items()}
            arrays["frc_limit_between_halves"] = self.agreement.limit_between_halves
            arrays["frc_limit_against_truth"] = self.agreement.limit_against_truth
        with atomic_path(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)

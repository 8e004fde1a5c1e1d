"""What a reconstruction says of itself without a truth: agreement of halves, uncertainty, frames that don't fit."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from numpy import ndarray

from ptycho.base.atomic import atomic_path
from ptycho.metrics.agreement import Agreement
from ptycho.metrics.frc import Frc
from ptycho.metrics.limit import Limit

Map = Float[ndarray, "height width"]

THRESHOLDS: dict[str, Any] = {"half_bit": "half_bit", "one_bit": "one_bit", "one_seventh": 1 / 7}
N_WORST = 6
# Misfit beyond which a scan is looked at again, and up to which it may be that a prior, or a mean with a network, holds
# an object back whose model is right: of textured ones it is up to 1.6 at an overlap of 0.9, and 3 at 0.95.
IN_DOUBT, HELD_BACK = 1.25, 4.0
# What is then left of it for an object that nothing holds back: it fits some of the noise, if the model is right.
FREE = -0.25
# z, and deviance over what noise gives, of a frame that does not fit while others do.
BAD_Z, BAD_RATIO = 6.0, 1.5


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
    limit
        What shot noise allows an unbiased estimate of an object like this one, the probe being known; None where the
        scan covers too little.
    amplitude_deviation, phase_deviation
        (height, width) standard deviation of a pixel's amplitude, and of its phase in rad, so that the error of two
        pixels in three is smaller, after `ptycho.metrics.deviation`; NaN where two halves can't be compared. A factor
        on the object, which is free, is on the deviation of its amplitude too.
    shot_noise
        (height, width) least standard deviation of a complex pixel of the object that the photons allow, probe and
        neighbours known: 1 / sqrt(information), dimensionless; NaN where no light fell.
    deviance, noise, z
        (position,) mean Poisson deviance of a trusted pixel of every frame, what Poisson noise around the expected
        counts gives in its place, and how many standard deviations of that the frame's deviance lies above it.
    n_counts, n_values
        Trusted pixels of all frames, and values that were sought: two a pixel of the object that is lit.
    free_misfit
        What the misfit becomes when nothing holds the object back; None where it is not in doubt.
    worst
        The frames with the largest z.
    seconds
        What it took.
    """

    agreement: Agreement | None
    limit: Limit | None
    amplitude_deviation: Map
    phase_deviation: Map
    shot_noise: Map
    deviance: Float64[ndarray, " position"]
    noise: Float64[ndarray, " position"]
    z: Float64[ndarray, " position"]
    n_counts: int
    n_values: int
    free_misfit: float | None
    worst: WorstFrames
    seconds: float

    @property
    def misfit(self) -> float:
        """Deviance of the scan beyond noise, for each value of the object: of the median frame, for all of them.

        A value that is wrong by one standard deviation of its shot noise adds 1 (chi squared of one degree of freedom),
        one that is fitted takes 1 away. What holds noise back adds as much as the noise that it removes, or more where
        the object is textured. A few bad frames do not count, and what is wrong with all frames adds up, though it is
        small in each of them.
        """
        return float(np.median(self.deviance - self.noise)) * self.n_counts / self.n_values

    @property
    def in_doubt(self) -> bool:
        """Whether the misfit is either that of a wrong model or what holds the object back."""
        return IN_DOUBT < self.misfit <= HELD_BACK

    @property
    def wrong_model(self) -> bool:
        """Whether the scan as a whole fits worse than noise and what holds the object back explain.

        An object that nothing holds back fits some of the noise too, if the model is right: its misfit is below zero.
        """
        return self.misfit > IN_DOUBT and (self.free_misfit is None or self.free_misfit > FREE)

    @property
    def bad_frames(self) -> Int64[ndarray, " bad"]:
        """Frames that do not fit: z above 6, and half as much deviance again as noise gives."""
        return np.flatnonzero((self.z > BAD_Z) & (self.deviance > BAD_RATIO * self.noise))

    @property
    def verdict(self) -> str:
        """What the frames say of the model, in a sentence."""
        if self.wrong_model:
            return (
                "The scan as a whole fits worse than photon noise explains: probe, positions, orientation or "
                "background are wrong, the iterations too few, or bad frames spoil their neighbours."
            )
        if n_bad := len(self.bad_frames):
            return f"Photon noise explains most frames, but not {n_bad} of {len(self.z)}: leave the worst out."
        if self.free_misfit is not None:
            return "Photon noise, and what a prior or a network holds back, explain how the frames fit."
        return "Photon noise explains how the frames fit."

    def as_dict(self) -> dict[str, Any]:
        """Return what summary.json says: crossings in fractions of Nyquist, None where halves were too small."""
        frc = best = None
        if self.agreement is not None:
            frc = self.agreement.frc
            best = replace(frc, correlation=self.agreement.limit_between_halves)
        return {
            "frc_crossings": _crossings(frc),
            "frc_limit_crossings": _crossings(best),
            "frc_of": "two halves of the scan, each with half the dose; fractions of Nyquist",
            "typical_amplitude_deviation": _typical(self.amplitude_deviation),
            "typical_phase_deviation": _typical(self.phase_deviation),
            "limit_amplitude_db": None if self.limit is None else self.limit.amplitude_db,
            "limit_phase_db": None if self.limit is None else self.limit.phase_db,
            "mean_deviance": float(self.deviance.mean()),
            "verdict": self.verdict,
            "misfit": self.misfit,
            "free_misfit": self.free_misfit,
            "n_bad_frames": len(self.bad_frames),
            "median_z": float(np.median(self.z)),
            "share_of_frames_with_z_above_3": float(np.mean(self.z > 3)),
            "worst_frames": [
                {"frame": i, "z": float(self.z[i]), "deviance": float(self.deviance[i])}
                for i in self.worst.indices.tolist()
            ],
            "seconds": self.seconds,
        }

    def write(self, path: Path) -> None:
        """Write an npz with the maps, deviance and z; frc_* where there are halves.

        Raises
        ------
        OutputError
            The file can't be written.
        """
        names = ("amplitude_deviation", "phase_deviation", "shot_noise", "deviance", "noise", "z")
        arrays: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.agreement is not None:
            arrays |= {f"frc_{name}": curve for name, curve in vars(self.agreement.frc).items()}
            arrays["frc_limit_between_halves"] = self.agreement.limit_between_halves
            arrays["frc_limit_against_truth"] = self.agreement.limit_against_truth
        with atomic_path(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)


def _crossings(frc: Frc | None) -> dict[str, float | None]:
    return {name: frc.crossing(threshold) if frc else None for name, threshold in THRESHOLDS.items()}


def _typical(deviation: Map) -> float | None:
    """Return the root mean square where it is known."""
    known = deviation[np.isfinite(deviation)]
    return float(np.sqrt(np.mean(known**2))) if known.size else None

"""Every figure of merit of a reconstruction against a reference, in the exact frame of the scan."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from ptycho.base.arrays import Mask, Object
from ptycho.base.errors import DataError
from ptycho.metrics.align import Aligned, align
from ptycho.metrics.fourier import Field, fourier_shift
from ptycho.metrics.frc import Frc, fourier_ring_correlation
from ptycho.metrics.image import complex_nrmse, flatness, pearson, phase_near, psnr, ssim
from ptycho.metrics.region import bounding_box, covered, eroded, extended, largest_rectangle

RIM = 2  # px, the outermost covered pixels are seen by too few frames
MARGIN = 8  # px of context around the region, for the sub-pixel shift
LOW_FREQUENCIES = 0.3  # of Nyquist, where a trustworthy phase must agree


@runtime_checkable
class Stitched(Protocol):
    """What of a reconstruction is compared: the object, how well it was covered, and where it lies."""

    @property
    def object_(self) -> Object: ...
    @property
    def coverage(self) -> Float[ndarray, "height width"]: ...
    @property
    def origin(self) -> Float64[ndarray, "2"]: ...


@dataclass(frozen=True, eq=False)
class Comparison:
    """Agreement of a reconstruction with a reference after removal of the ambiguities.

    Attributes
    ----------
    complex_nrmse
        ||image - reference|| / ||reference||.
    amplitude_psnr, phase_psnr
        dB; peak 1 and 1 rad.
    amplitude_ssim, phase_ssim
        Structural similarity in ``rectangle``, range of the reference.
    amplitude_pearson, phase_pearson
        Correlation coefficients.
    frc_half, frc_half_bit
        First frequency, fraction of Nyquist, where the FRC falls below 0.5 and below the half-bit threshold.
    frc_low
        Lowest FRC up to 0.3 of Nyquist.
    amplitude_std, phase_std, reference_amplitude_std, reference_phase_std
        Standard deviations, phase in rad: a flat answer shows as flat.
    frc
        The whole curve, in ``rectangle``.
    aligned
        The image on the pixels of the reference, and the ambiguities that were removed.
    reference, mask
        The reference on the same pixels, and the pixels that were compared.
    rectangle
        Largest rectangle in ``mask``, as rows and columns.
    origin
        (y, x) position of the first of these pixels in the scan's frame, px.
    """

    complex_nrmse: float
    amplitude_psnr: float
    phase_psnr: float
    amplitude_ssim: float
    phase_ssim: float
    amplitude_pearson: float
    phase_pearson: float
    frc_half: float
    frc_half_bit: float
    frc_low: float
    amplitude_std: float
    phase_std: float
    reference_amplitude_std: float
    reference_phase_std: float
    frc: Frc
    aligned: Aligned
    reference: Field
    mask: Mask
    rectangle: tuple[slice, slice]
    origin: Float64[ndarray, "2"]

    def as_dict(self) -> dict[str, Any]:
        """Return numbers and lists that JSON can hold; what is not finite becomes None."""
        scores = {name: value for name, value in vars(self).items() if isinstance(value, float)}
        return {
            **{name: value if isfinite(value) else None for name, value in scores.items()},
            "n_pixels": int(self.mask.sum()),
            "removed": {
                "scale": self.aligned.scale,
                "global_phase": self.aligned.global_phase,
                "phase_ramp": self.aligned.phase_ramp.tolist(),
                "shift": self.aligned.shift.tolist(),
            },
            "frc": {name: curve.tolist() for name, curve in vars(self.frc).items()},
        }


def compare(
    reconstruction: Stitched,
    reference: Object,
    reference_origin: tuple[float, float] | Float64[ndarray, "2"] = (0.0, 0.0),
    *,
    reference_coverage: Float[ndarray, "height width"] | None = None,
    min_coverage: float = 0.1,
    shift: bool = True,
    ramp: bool = True,
    scale: bool = True,
) -> Comparison:
    """Compare a reconstruction with a reference where both are known, pixel on pixel.

    Both are laid in the frame of the scan by their origins; nothing is searched beyond the small shift that the
    physics leaves free. The region is what the scan covered with at least ``min_coverage`` of the typical |P|^2,
    less a rim of 2 px. For another reconstruction, give its ``object_``, ``origin`` and ``coverage``.

    Parameters
    ----------
    reconstruction
        A ``Reconstruction``, or anything with its object, coverage and origin.
    reference
        The true object, or another reconstruction's.
    reference_origin
        Position (y, x) of ``reference[0, 0]`` in scan pixels.
    reference_coverage
        Coverage of the reference; everywhere when left out.
    min_coverage
        Fraction of the typical coverage, in (0, 1].
    shift, ramp, scale
        Which ambiguities to remove besides the global phase: a shift and a ramp are free when the probe was refined,
        the scale when the flux is not known.

    Raises
    ------
    DataError
        The two share no covered pixel, too few for the similarity, or a value is not finite.
    """
    known = np.ones(reference.shape, dtype=bool)
    if reference_coverage is not None:
        known = covered(reference_coverage, min_coverage)
    seen = covered(reconstruction.coverage, min_coverage)
    offset = np.asarray(reconstruction.origin) - np.asarray(reference_origin)
    whole = np.round(offset).astype(int)
    here, there = _shared(reconstruction.object_.shape, reference.shape, whole)
    mask = eroded(seen, RIM)[here] & eroded(known, RIM)[there]
    if not mask.any():
        raise DataError(
            f"the reconstruction of {seen.shape} px at {np.asarray(reconstruction.origin).tolist()} and the reference "
            f"of {reference.shape} px at {np.asarray(reference_origin).tolist()} share no covered pixel; give the "
            "reference of this scan and its origin"
        )
    box = bounding_box(mask, MARGIN)
    moved = fourier_shift(extended(reference, known).astype(np.complex128), whole - offset)
    image, target, mask = extended(reconstruction.object_, seen)[here][box], moved[there][box], mask[box]
    aligned = align(image, target, mask, shift=shift, ramp=ramp, scale=scale)
    corner = np.array([rows.start + inner.start for rows, inner in zip(here, box, strict=True)])
    return _scored(aligned, target, mask, reconstruction.origin + corner)


def _scored(aligned: Aligned, target: Field, mask: Mask, origin: Float64[ndarray, "2"]) -> Comparison:
    image, rectangle = aligned.image, largest_rectangle(mask)
    amplitude, phase = np.abs(image), phase_near(image, target)
    true_amplitude, true_phase = np.abs(target), np.angle(target)
    frc = fourier_ring_correlation(image[rectangle], target[rectangle])
    amplitude_std, phase_std = flatness(image, mask)
    reference_amplitude_std, reference_phase_std = flatness(target, mask)
    return Comparison(
        complex_nrmse=complex_nrmse(image, target, mask),
        amplitude_psnr=psnr(amplitude, true_amplitude, mask),
        phase_psnr=psnr(phase, true_phase, mask),
        amplitude_ssim=ssim(amplitude[rectangle], true_amplitude[rectangle]),
        phase_ssim=ssim(phase[rectangle], true_phase[rectangle]),
        amplitude_pearson=pearson(amplitude, true_amplitude, mask),
        phase_pearson=pearson(phase, true_phase, mask),
        frc_half=frc.crossing(0.5),
        frc_half_bit=frc.crossing("half_bit"),
        frc_low=frc.lowest_up_to(LOW_FREQUENCIES),
        amplitude_std=amplitude_std,
        phase_std=phase_std,
        reference_amplitude_std=reference_amplitude_std,
        reference_phase_std=reference_phase_std,
        frc=frc,
        aligned=aligned,
        reference=target,
        mask=mask,
        rectangle=rectangle,
        origin=origin,
    )


def _shared(
    shape: tuple[int, ...], reference_shape: tuple[int, ...], offset: ndarray
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the slices of image and reference that overlap when image[i] lies on reference[i + offset]."""
    here, there = [], []
    for length, reference_length, step in zip(shape, reference_shape, offset.tolist(), strict=True):
        start, stop = max(0, -step), max(min(length, reference_length - step), max(0, -step))
        here.append(slice(start, stop))
        there.append(slice(start + step, stop + step))
    return (here[0], here[1]), (there[0], there[1])

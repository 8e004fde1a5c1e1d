"""Every figure of merit of a reconstruction against a reference, in the exact frame of the scan."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from ptycho.base.arrays import Mask, Object
from ptycho.metrics.align import Aligned
from ptycho.metrics.fourier import Field
from ptycho.metrics.frc import Frc, fourier_ring_correlation
from ptycho.metrics.image import complex_nrmse, flatness, pearson, phase_near, psnr, ssim
from ptycho.metrics.overlay import Stitched, lay_over

LOW_FREQUENCIES = 0.3  # of Nyquist, where a trustworthy phase must agree


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
    shared
        Pixels that both know, as a fraction of what the one that knows less of the field knows.
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
    shared: float
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
    laid = lay_over(
        reconstruction,
        reference,
        reference_origin,
        reference_coverage=reference_coverage,
        min_coverage=min_coverage,
        shift=shift,
        ramp=ramp,
        scale=scale,
    )
    image, target, mask, rectangle = laid.aligned.image, laid.reference, laid.mask, laid.rectangle
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
        shared=laid.shared,
        frc=frc,
        aligned=laid.aligned,
        reference=target,
        mask=mask,
        rectangle=rectangle,
        origin=laid.origin,
    )

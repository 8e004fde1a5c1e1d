"""Sub-pixel movement and slope of an image that ends at its borders."""

import numpy as np
from jaxtyping import Complex128, Float64
from numpy import ndarray

Field = Complex128[ndarray, "height width"]
Spectrum = Complex128[ndarray, "twice_height twice_width"]


def fourier_shift(image: Field, shift: Float64[ndarray, "2"]) -> Field:
    """Move the content of an image by ``shift`` px (y, x): F^-1[exp(-2 pi i q . shift) F[image]].

    The image is mirrored at its borders first, so that no step between opposite borders rings through it.
    """
    if not shift.any():
        return image
    ramp_y, ramp_x = (np.exp(-2j * np.pi * s * np.fft.fftfreq(2 * n)) for s, n in zip(shift, image.shape, strict=True))
    return _filtered(image, np.fft.fft2(_mirrored(image)), ramp_y, ramp_x)


def slopes(image: Field) -> tuple[Field, Field]:
    """Return the derivatives along y and x, per px, of the image mirrored at its borders."""
    spectrum = np.fft.fft2(_mirrored(image))
    turn_y, turn_x = (2j * np.pi * np.fft.fftfreq(2 * n) for n in image.shape)
    return (
        _filtered(image, spectrum, turn_y, np.ones_like(turn_x)),
        _filtered(image, spectrum, np.ones_like(turn_y), turn_x),
    )


def _mirrored(image: Field) -> Spectrum:
    height, width = image.shape
    return np.pad(image, ((0, height), (0, width)), mode="symmetric")


def _filtered(image: Field, spectrum: Spectrum, along_y: ndarray, along_x: ndarray) -> Field:
    height, width = image.shape
    filtered: Field = np.fft.ifft2(spectrum * along_y[:, None] * along_x)[:height, :width]
    return filtered

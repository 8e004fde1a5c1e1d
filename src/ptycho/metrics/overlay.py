"""Lay a reconstruction on a reference, pixel on pixel, in the exact frame of the scan."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from ptycho.base.arrays import Mask, Object
from ptycho.base.errors import DataError
from ptycho.metrics.align import Aligned, align
from ptycho.metrics.fourier import Field, fourier_shift
from ptycho.metrics.region import bounding_box, covered, eroded, extended, largest_rectangle

RIM = 2  # px, the outermost covered pixels are seen by too few frames
MARGIN = 8  # px of context around the region, for the sub-pixel shift


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
class Overlay:
    """A reconstruction on the pixels of a reference, where both are known.

    Attributes
    ----------
    aligned
        The image on the pixels of the reference, and the ambiguities that were removed.
    reference, mask
        The reference on the same pixels, and the pixels that can be compared.
    rectangle
        Largest rectangle in ``mask``, as rows and columns.
    origin
        (y, x) position of the first of these pixels in the scan's frame, px.
    shared
        Pixels that both know, as a fraction of what the one that knows less of the field knows.
    """

    aligned: Aligned
    reference: Field
    mask: Mask
    rectangle: tuple[slice, slice]
    origin: Float64[ndarray, "2"]
    shared: float

    def place_on(self, canvas: Stitched) -> tuple[slice, slice]:
        """Return the rows and columns of a canvas that these pixels occupy."""
        starts = np.round(self.origin - canvas.origin).astype(int).tolist()
        rows, columns = (slice(start, start + n) for start, n in zip(starts, self.mask.shape, strict=True))
        return rows, columns


def lay_over(
    reconstruction: Stitched,
    reference: Object,
    reference_origin: tuple[float, float] | Float64[ndarray, "2"] = (0.0, 0.0),
    *,
    reference_coverage: Float[ndarray, "height width"] | None = None,
    min_coverage: float = 0.1,
    shift: bool = True,
    ramp: bool = True,
    scale: bool = True,
) -> Overlay:
    """Lay a reconstruction over a reference by their origins and remove the ambiguities of ptychography.

    Parameters are those of `ptycho.metrics.summary.compare`.

    Raises
    ------
    DataError
        The two share no covered pixel, or a value is not finite.
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
    least = min(int(eroded(seen, RIM).sum()), int(eroded(known, RIM).sum()))
    return Overlay(
        aligned, target, mask, largest_rectangle(mask), reconstruction.origin + corner, int(mask.sum()) / least
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

"""The two pictures of the live page."""

from io import BytesIO

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from ptycho.base.arrays import Mask, Object
from ptycho.metrics.region import covered
from ptycho.report.drawing import AMPLITUDE_COLOURS, Limits, Map, free_turn, phase_colours, robust_limits

MIN_COVERAGE = 0.1  # of the typical coverage, to be drawn


def draw(object_: Object, coverage: Float32[ndarray, "height width"]) -> dict[str, tuple[bytes, Limits]]:
    """Return amplitude and phase (rad, less its mean) as PNG, each with the values of its first and last colour.

    What saw too little light is transparent; both are empty where nothing saw any.
    """
    mask = covered(coverage, MIN_COVERAGE)
    if not mask.any():
        return {}
    amplitude, phase = np.abs(object_), np.angle(object_ * free_turn(object_, mask))
    limits = robust_limits(amplitude, mask)
    colours, span = phase_colours(phase, mask)
    return {
        "amplitude": (_png(amplitude, mask, AMPLITUDE_COLOURS, limits), limits),
        "phase": (_png(phase, mask, colours, span), span),
    }


def _png(values: Map, mask: Mask, colours: str, limits: Limits) -> bytes:
    from matplotlib.image import imsave

    stream = BytesIO()
    low, high = limits
    imsave(stream, np.ma.masked_array(values, ~mask), cmap=colours, vmin=low, vmax=high, format="png")
    return stream.getvalue()

"""Pieces of a figure: a page that is written whole, maps in scan pixels, colour limits that ignore outliers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Complex, Float, Float64
from numpy import ndarray

from ptycho.base.arrays import Mask
from ptycho.base.atomic import atomic_path
from ptycho.base.errors import OutputError, extra_missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

Limits = tuple[float, float]
Map = Float[ndarray, "height width"]

FORMATS = (".png", ".pdf", ".svg")
DPI = 160
UNCOVERED = "0.9"  # light grey
AMPLITUDE_COLOURS, PHASE_COLOURS, CYCLIC_COLOURS, ERROR_COLOURS = "gray", "viridis", "twilight", "RdBu_r"
WIDE_PHASE = 1.5 * np.pi  # rad; a phase that spreads further is drawn on the whole circle
STYLE = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
}


@contextmanager
def page(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield an empty figure, in inches, and write it to ``path`` when the block ends well.

    Raises
    ------
    BackendNotInstalledError
        matplotlib is not installed.
    OutputError
        The file can't be written, or its name doesn't end with a known format.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise extra_missing("matplotlib", "report") from error
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"can't draw {path}: its name ends with {path.suffix!r}; give one of {', '.join(FORMATS)}")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with atomic_path(path) as partial:
            figure.savefig(partial, dpi=DPI, bbox_inches="tight", pad_inches=0.1)


def draw_map(
    axes: "Axes",
    values: Map,
    mask: Mask,
    origin: Float64[ndarray, "2"],
    colours: str,
    limits: Limits,
    step: int = 1,
) -> "AxesImage":
    """Draw values of every ``step``-th pixel of the scan, y downwards, what the mask leaves out in grey."""
    top, left = (float(start) - step / 2 for start in origin)
    height, width = (step * length for length in values.shape)
    image = axes.imshow(
        np.ma.masked_array(values, ~mask),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        extent=(left, left + width, top + height, top),
        interpolation="nearest",
    )
    axes.set_facecolor(UNCOVERED)
    return image


def colour_bar(figure: "Figure | SubFigure", axes: "Axes", image: "AxesImage", label: str) -> None:
    """Add a slim colour bar, as tall as the picture, to the right of the axes."""
    bar = figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.05, 1)), label=label)
    bar.outline.set_linewidth(0.6)


def hues(phase: Map) -> Float[ndarray, "height width 3"]:
    """Return a colour of full brightness for each phase, rad; opposite phases have opposite colours."""
    from matplotlib.colors import hsv_to_rgb

    full = np.ones_like(phase)
    colours: Float[ndarray, "height width 3"] = hsv_to_rgb(np.stack([phase / (2 * np.pi) % 1, full, full], axis=-1))
    return colours


def robust_limits(values: Map, mask: Mask) -> Limits:
    """Return the 0.5 and 99.5 percentiles inside the mask, kept apart when the map is constant."""
    low, high = (float(limit) for limit in np.percentile(values[mask], (0.5, 99.5)))
    spread = max((high - low) / 2, 1e-3 * max(abs(low), abs(high), 1e-3))
    middle = (low + high) / 2
    return middle - spread, middle + spread


def phase_colours(phase: Map, mask: Mask) -> tuple[str, Limits]:
    """Return colours and limits for a phase in rad: a circle of colours when it spreads over most of the turn."""
    low, high = robust_limits(phase, mask)
    return (CYCLIC_COLOURS, (-np.pi, np.pi)) if high - low > WIDE_PHASE else (PHASE_COLOURS, (low, high))


def free_turn(object_: Complex[ndarray, "height width"], mask: Mask) -> complex:
    """Return the factor of modulus 1 that brings the mean phase inside the mask to zero."""
    return complex(np.exp(-1j * np.angle(object_[mask].sum(dtype=np.complex128))))

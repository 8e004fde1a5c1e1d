"""One picture of a scan before anything is done with it: patterns, counts, positions, light on the object, probe."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.statistics import statistics
from ptycho.optics.probe import probe_intensity
from ptycho.report.drawing import Map, colour_bar, page
from ptycho.report.scan_panels import draw_mean_pattern, draw_positions, draw_probe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 3.2  # in
BINS = 60
LARGEST_MAP = 2**24  # px; a larger map of the light is not drawn


def save_scan_picture(path: Path, scan: Acquisition, title: str) -> None:
    """Draw a scan as it was read.

    Above: the mean pattern, the counts of the frames in their order and how often each occurs. Below: positions, the
    light on the object, and the probe.

    Parameters
    ----------
    path
        File to write: .png, .pdf or .svg.
    scan
        A scan that can be used.
    title
        Headline.

    Raises
    ------
    BackendNotInstalledError
        matplotlib is not installed.
    OutputError
        The file can't be written.
    """
    seen = statistics(scan)
    with page(path, 3.6 * PANEL, 2.2 * PANEL) as figure:
        # No "$" may begin mathematics: the title holds the name of a file.
        figure.suptitle(title, fontsize=11, fontweight="bold", parse_math=False)
        panels = figure.subplots(2, 3)
        draw_mean_pattern(figure, panels[0, 0], seen.mean_pattern, scan.mask)
        _draw_counts(panels[0, 1], panels[0, 2], seen.frame_counts)
        draw_positions(panels[1, 0], scan.positions)
        panels[1, 0].set_ylabel("y (px)")
        _draw_light(figure, panels[1, 1], scan)
        draw_probe(panels[1, 2], scan.probe)


def light(scan: Acquisition) -> tuple[Map, Float64[ndarray, "2"]]:
    """Return the light on the object over all frames, in units of the probe's peak, and the first pixel's position.

    Positions are taken at their nearest whole pixels.
    """
    from scipy.signal import oaconvolve

    whole = np.rint(scan.positions).astype(np.int64)
    first = whole.min(axis=0)
    visits = np.zeros(np.ptp(whole, axis=0) + 1)
    np.add.at(visits, tuple((whole - first).T), 1.0)
    intensity = probe_intensity(scan.probe)
    total: Map = oaconvolve(visits, intensity / intensity.max())
    return total.clip(min=0), (first - scan.size // 2).astype(np.float64)


def _draw_counts(series: "Axes", histogram: "Axes", counts: Float64[ndarray, " position"]) -> None:
    series.plot(counts, ".", markersize=2)
    series.set(title="counts of a frame", xlabel="frame, in the order of the scan")
    series.set_ylim(bottom=0)
    histogram.hist(counts, bins=BINS)
    histogram.set(title="how often", xlabel="counts of a frame", ylabel="frames")


def _draw_light(figure: "Figure", axes: "Axes", scan: Acquisition) -> None:
    height, width = np.ptp(scan.positions, axis=0) + scan.size
    if height * width > LARGEST_MAP:
        axes.text(0.5, 0.5, f"{height:.0f} x {width:.0f} px: too large to draw", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    total, (top, left) = light(scan)
    extent = (left - 0.5, left - 0.5 + total.shape[1], top - 0.5 + total.shape[0], top - 0.5)
    image = axes.imshow(total, cmap="viridis", extent=extent, interpolation="nearest")
    axes.set(title="light on the object", xlabel="x (px)")
    colour_bar(figure, axes, image, "of the probe's peak")

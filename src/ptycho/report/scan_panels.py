"""Panels that show a measured scan: the probe, where it was, and what the detector saw."""

from typing import TYPE_CHECKING

import numpy as np

from ptycho.base.arrays import Mask, Positions, Probe
from ptycho.report.drawing import UNCOVERED, Map, colour_bar, hues

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FAINTEST = 1e-5  # of the brightest mean count, the lowest that is drawn


def draw_probe(axes: "Axes", probe: Probe) -> None:
    """Draw the strongest mode: brightness for the amplitude, hue for the phase."""
    power = np.sum(np.abs(probe) ** 2, axis=(1, 2))
    mode = probe[int(np.argmax(power))]
    N = mode.shape[-1]
    picture = hues(np.angle(mode)) * (np.abs(mode) / np.abs(mode).max())[..., None]
    axes.imshow(picture, extent=(-N // 2 - 0.5, N - N // 2 - 0.5, N - N // 2 - 0.5, -N // 2 - 0.5))
    share = f", {power.max() / power.sum():.0%} of the power" if len(probe) > 1 else ""
    axes.set(title=f"probe{share}", xlabel="x (px), hue: phase")


def draw_positions(axes: "Axes", positions: Positions) -> None:
    """Draw the positions, y downwards as in the object, in colours of their order."""
    y, x = positions.T
    axes.scatter(x, y, s=4, c=np.arange(len(y)), cmap="viridis", linewidths=0)
    axes.set(title=f"{len(y)} positions, first dark", xlabel="x (px)", aspect="equal")
    axes.invert_yaxis()


def draw_mean_pattern(figure: "Figure | SubFigure", axes: "Axes", mean: Map, mask: Mask) -> None:
    """Draw mean counts on a logarithmic scale, pixels that can't be trusted in grey."""
    from matplotlib.colors import LogNorm

    top = max(float(mean[mask].max()), 1.0)
    shown = np.ma.masked_array(np.maximum(mean, FAINTEST * top), ~mask)
    image = axes.imshow(shown, cmap="magma", norm=LogNorm(FAINTEST * top, top), interpolation="nearest")
    axes.set(title="mean pattern", xlabel="x (px)")
    axes.set_facecolor(UNCOVERED)
    colour_bar(figure, axes, image, "counts")

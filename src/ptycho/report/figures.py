"""Pictures of a reconstructed object in the pixels of the scan."""

import math
from pathlib import Path

import numpy as np

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.arrays import Mask
from ptycho.base.atomic import atomic_path
from ptycho.base.errors import ConfigError, DataError, extra_missing
from ptycho.metrics.region import bounding_box, covered, eroded
from ptycho.report.drawing import (
    AMPLITUDE_COLOURS,
    PHASE_COLOURS,
    Limits,
    Map,
    colour_bar,
    draw_map,
    free_turn,
    page,
    phase_colours,
    robust_limits,
)

# Amplitude and phase, by the names that older clients look for.
IMAGES = ("reconstructed_amplitude.png", "reconstructed_phase.png")
MIN_COVERAGE = 0.1  # of the typical coverage, to be drawn
RIM = 2  # px left out of the colour limits
PICTURE = 5.0  # in, the longer side
LONGEST_SIDE = 4096  # px that are drawn; of a larger object every second, third, ... one


def save_images(
    folder: Path, reconstruction: Reconstruction, limits: tuple[float | None, float | None] = (None, None)
) -> None:
    """Draw a reconstruction in two files by the names of older clients; ``limits`` are those of the phase, rad.

    Raises
    ------
    BackendNotInstalledError, DataError, OutputError
        As `save_phase`, before anything is written.
    """
    amplitude, phase = (folder / name for name in IMAGES)
    # One limit alone may disagree with the picture: that shows in the phase, which comes first.
    save_phase(phase, reconstruction, limits)
    save_amplitude(amplitude, reconstruction)


def save_pixels(folder: Path, amplitude: Map, phase: Map) -> None:
    """Write the two files of `save_images` pixel by pixel, in colours that span the values where there is amplitude.

    Raises
    ------
    BackendNotInstalledError
        matplotlib is not installed.
    OutputError
        The files can't be written.
    """
    try:
        from matplotlib.image import imsave
    except ModuleNotFoundError as error:
        raise extra_missing("matplotlib", "report") from error
    lit = amplitude > 0
    for name, image, colours in zip(IMAGES, (amplitude, phase), (AMPLITUDE_COLOURS, PHASE_COLOURS), strict=True):
        least, most = robust_limits(image, lit if lit.any() else ~lit)
        with atomic_path(folder / name) as partial:
            imsave(partial, image, cmap=colours, vmin=least, vmax=most)


def save_amplitude(path: Path, reconstruction: Reconstruction) -> None:
    """Draw the amplitude of the covered object, with the scan positions.

    Raises
    ------
    BackendNotInstalledError
        matplotlib is not installed.
    DataError
        The reconstruction covers nothing.
    OutputError
        The file can't be written.
    """
    drawn = _Drawn(reconstruction)
    amplitude = np.abs(drawn.reconstruction.object_)
    _save_object(path, drawn, amplitude, AMPLITUDE_COLOURS, robust_limits(amplitude, drawn.inner), "amplitude")


def save_phase(
    path: Path, reconstruction: Reconstruction, limits: tuple[float | None, float | None] = (None, None)
) -> None:
    """Draw the phase of the covered object less its mean, which is free, with the scan positions.

    Parameters
    ----------
    limits
        Phases, rad, of the first and the last colour; None for what the picture itself suggests.

    Raises
    ------
    BackendNotInstalledError
        matplotlib is not installed.
    ConfigError
        A phase is not finite, or the first is not below the last.
    DataError
        The reconstruction covers nothing.
    OutputError
        The file can't be written.
    """
    drawn = _Drawn(reconstruction)
    object_, inner = drawn.reconstruction.object_, drawn.inner
    phase = np.angle(object_ * free_turn(object_, inner))
    colours, (low, high) = phase_colours(phase, inner)
    if limits != (None, None):
        # A circle of colours makes sense over a whole turn only.
        colours = PHASE_COLOURS
        low, high = (given if given is not None else own for given, own in zip(limits, (low, high), strict=True))
        check_limits(low, high)
    _save_object(path, drawn, phase, colours, (low, high), "phase less its mean (rad)")


def check_limits(low: float | None, high: float | None) -> None:
    """Refuse phases, rad, of the first and the last colour that leave no colours between them; None is not given.

    Raises
    ------
    ConfigError
        One is not finite, or the first is not below the last.
    """
    if low is not None and high is not None and not -math.inf < low < high < math.inf:
        raise ConfigError(
            f"phase colours run from {low:g} to {high:g} rad; expected numbers, the first below the last; correct them"
        )


def seen(reconstruction: Reconstruction) -> tuple[Mask, Mask]:
    """Return the pixels to draw and those that set the colours."""
    mask = covered(reconstruction.coverage, MIN_COVERAGE)
    if not mask.any():
        raise DataError("the reconstruction covers no pixel; reconstruct from at least one frame before drawing")
    inner = eroded(mask, RIM)
    return mask, inner if inner.any() else mask


class _Drawn:
    """A reconstruction as it is drawn: of a large one some of its pixels, and some of its positions.

    Parameters
    ----------
    whole
        The reconstruction.
    """

    def __init__(self, whole: Reconstruction) -> None:
        self.step = -(-max(whole.object_.shape) // LONGEST_SIDE)
        self.n_positions = len(whole.positions)
        self.reconstruction = whole if self.step == 1 else whole.thinned(self.step)
        self.mask, self.inner = seen(self.reconstruction)


def _save_object(path: Path, drawn: _Drawn, values: Map, colours: str, limits: Limits, label: str) -> None:
    mask, step, reconstruction = drawn.mask, drawn.step, drawn.reconstruction
    box = bounding_box(mask, 0)
    height, width = values[box].shape
    inches = PICTURE / max(height, width)
    origin = reconstruction.origin + step * np.array([box[0].start, box[1].start])
    with page(path, 1.4 + max(inches * width, 1.5), 0.8 + max(inches * height, 1.5)) as figure:
        axes = figure.subplots()
        image = draw_map(axes, values[box], mask[box], origin, colours, limits, step)
        y, x = reconstruction.positions.T
        axes.scatter(x, y, s=2.5, c="tab:red", alpha=0.6, linewidths=0, zorder=2)
        axes.set(xlabel="x (px)", ylabel="y (px)")
        some = "" if step == 1 else ", some of them"
        axes.set_title(f"{drawn.n_positions} scan positions{some} in red", loc="left", fontsize=8, color="0.35")
        colour_bar(figure, axes, image, label)

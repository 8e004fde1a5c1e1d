"""One page that shows a simulated scan, what was reconstructed from it, and how far that is from the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.errors import DataError
from ptycho.metrics.image import phase_near
from ptycho.metrics.summary import Comparison
from ptycho.report.drawing import (
    AMPLITUDE_COLOURS,
    ERROR_COLOURS,
    Limits,
    Map,
    colour_bar,
    draw_map,
    free_turn,
    page,
    phase_colours,
    robust_limits,
)
from ptycho.report.scan_panels import draw_mean_pattern, draw_positions, draw_probe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

PICTURE, PANEL, BAR = 2.5, 2.6, 0.8  # in, least width of a picture and of a panel; of a colour bar with its labels
ROOM = 0.15  # between two panels, of the width of one: a colour bar's label is not the label of the next axis
FRAMES_FOR_MEAN = 512
DECADE = 10.0  # a ratio of values from which an axis is logarithmic


@dataclass(frozen=True)
class Curves:
    """Lines for one panel.

    Attributes
    ----------
    title, x_label, y_label
        Texts, with units.
    lines
        Label -> values, one a step.
    first
        Number of the first step.
    """

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[float]]
    first: int = 1


def save_demo_page(
    path: Path,
    *,
    title: str,
    scan: Acquisition,
    comparisons: Mapping[str, Comparison],
    curves: Sequence[Curves] = (),
) -> None:
    """Draw truth, results and errors, amplitude above phase; then probe, scan, mean pattern, curves and FRC.

    Parameters
    ----------
    path
        File to write: .png, .pdf or .svg.
    title
        Headline.
    scan
        The scan that was reconstructed.
    comparisons
        Name of a result, such as "network" -> its comparison with the truth, which is the same for all.
    curves
        One panel each, such as the training loss and the deviance during refinement.

    Raises
    ------
    BackendNotInstalledError
        matplotlib is not installed.
    DataError
        There is no comparison to draw.
    OutputError
        The file can't be written.
    """
    if not comparisons:
        raise DataError("found no comparison to draw; give at least one result compared with the truth")
    n_columns, n_panels = 1 + 2 * len(comparisons), 4 + len(curves)
    width = max(PICTURE * n_columns + 2 * BAR, PANEL * n_panels)
    height_of_truth, width_of_truth = next(iter(comparisons.values())).mask.shape
    top = 2 * ((width - 2 * BAR) / n_columns * height_of_truth / width_of_truth + 0.45)
    bottom = width / n_panels + 0.4
    with page(path, width, top + bottom + 0.4) as figure:
        figure.suptitle(title, fontsize=12, fontweight="bold")
        pictures, details = figure.subfigures(2, 1, squeeze=False, height_ratios=(top, bottom))[:, 0]
        _draw_pictures(pictures, comparisons)
        panels = details.subplots(1, n_panels, gridspec_kw={"wspace": ROOM})
        draw_probe(panels[0], scan.probe)
        draw_positions(panels[1], scan.positions)
        draw_mean_pattern(details, panels[2], _mean_pattern(scan), scan.mask)
        for axes, curve in zip(panels[3:-1], curves, strict=True):
            _draw_curves(axes, curve)
        _draw_frc(panels[-1], comparisons)


@dataclass(frozen=True, eq=False)
class _Quantity:
    """Amplitude or phase of one result: the truth, the result, their difference, and the score in words."""

    truth: Map
    result: Map
    error: Map
    score: str


def _amplitude(found: Comparison) -> _Quantity:
    truth, result = np.abs(found.reference), np.abs(found.aligned.image)
    score = f"{found.amplitude_psnr:.1f} dB, SSIM {found.amplitude_ssim:.3f}"
    return _Quantity(truth, result, result - truth, score)


def _phase(found: Comparison) -> _Quantity:
    turn = free_turn(found.reference, found.mask)
    truth, result = np.angle(found.reference * turn), phase_near(found.aligned.image * turn, found.reference * turn)
    return _Quantity(truth, result, result - truth, f"{found.phase_psnr:.1f} dB, SSIM {found.phase_ssim:.3f}")


def _mean_pattern(scan: Acquisition) -> Map:
    frames = np.linspace(0, scan.n_positions - 1, min(scan.n_positions, FRAMES_FOR_MEAN)).astype(int)
    mean: Map = scan.counts(frames).mean(axis=0)
    return mean


def _draw_pictures(figure: "SubFigure", comparisons: Mapping[str, Comparison]) -> None:
    grid = figure.subplots(2, 1 + 2 * len(comparisons), sharex=True, sharey=True)
    mask = next(iter(comparisons.values())).mask
    amplitudes, phases = ({name: of(found) for name, found in comparisons.items()} for of in (_amplitude, _phase))
    truth, true_phase = (next(iter(row.values())).truth for row in (amplitudes, phases))
    _draw_row(figure, grid[0], comparisons, amplitudes, AMPLITUDE_COLOURS, robust_limits(truth, mask), "amplitude")
    _draw_row(figure, grid[1], comparisons, phases, *phase_colours(true_phase, mask), "phase (rad)")
    for axes in grid[:, 0]:
        axes.set_ylabel("y (px)")
    for axes in grid[1]:
        axes.set_xlabel("x (px)")


def _draw_row(
    figure: "SubFigure",
    row: ndarray,
    comparisons: Mapping[str, Comparison],
    quantities: Mapping[str, _Quantity],
    colours: str,
    limits: Limits,
    label: str,
) -> None:
    """Draw the truth and the results with one colour bar, and the errors with another."""
    n_results = len(comparisons)
    first = next(iter(comparisons))
    image = draw_map(
        row[0], quantities[first].truth, comparisons[first].mask, comparisons[first].origin, colours, limits
    )
    row[0].set_title("truth")
    largest = max(
        float(np.percentile(np.abs(quantities[name].error[comparisons[name].mask]), 99)) for name in comparisons
    )
    for column, (name, found) in enumerate(comparisons.items(), start=1):
        quantity = quantities[name]
        draw_map(row[column], quantity.result, found.mask, found.origin, colours, limits)
        row[column].set_title(f"{name}: {quantity.score}")
        axes = row[column + n_results]
        error = draw_map(axes, quantity.error, found.mask, found.origin, ERROR_COLOURS, (-largest, largest))
        axes.set_title(f"{name} − truth")
    colour_bar(figure, row[n_results], image, label)
    colour_bar(figure, row[-1], error, f"error of {label}")


def _draw_curves(axes: "Axes", curves: Curves) -> None:
    for label, values in curves.lines.items():
        axes.plot(curves.first + np.arange(len(values)), values, label=label, marker="." if len(values) == 1 else "")
    every = np.concatenate([np.asarray(values, float) for values in curves.lines.values()])
    if 0 < DECADE * np.min(every, initial=np.inf) <= np.max(every, initial=-np.inf):
        axes.set_yscale("log")
    axes.set(title=curves.title, xlabel=curves.x_label, ylabel=curves.y_label)
    axes.set_box_aspect(1)
    axes.grid(alpha=0.3, linewidth=0.4)
    if len(curves.lines) > 1:
        axes.legend(frameon=False)


def _draw_frc(axes: "Axes", comparisons: Mapping[str, Comparison]) -> None:
    for name, found in comparisons.items():
        axes.plot(found.frc.frequency, found.frc.correlation, label=name)
    longest = max((found.frc for found in comparisons.values()), key=lambda frc: len(frc.frequency))
    axes.plot(longest.frequency, longest.half_bit, color="0.4", linestyle="--", linewidth=0.8, label="half bit")
    axes.plot(longest.frequency, longest.one_bit, color="0.4", linestyle=":", linewidth=0.8, label="one bit")
    axes.set(
        title="FRC with the truth", xlabel="frequency / Nyquist", xlim=(0, 1), ylim=(min(0.0, *axes.get_ylim()), 1.05)
    )
    axes.set_box_aspect(1)
    axes.grid(alpha=0.3, linewidth=0.4)
    axes.legend(frameon=False, loc="lower left")

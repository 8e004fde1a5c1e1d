"""The page of two reconstructions side by side: their difference, their agreement, their settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ptycho.metrics.image import phase_near
from ptycho.metrics.region import bounding_box
from ptycho.metrics.summary import Comparison
from ptycho.report.drawing import AMPLITUDE_COLOURS, ERROR_COLOURS, Limits, Map, free_turn, phase_colours, robust_limits
from ptycho.report.html.charts import Chart, Line, line_chart
from ptycho.report.html.maps import Field, PixelMap, averaged, pixel_map, step_for
from ptycho.report.html.render import write_page
from ptycho.report.html.report import Fact, field_of, flat


def save_comparison_page(
    path: Path,
    found: Comparison,
    names: tuple[str, str],
    summaries: tuple[Mapping[str, Any], Mapping[str, Any]],
    scores: Mapping[str, str],
    warnings: Sequence[str],
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    found
        The comparison of A with B.
    names
        Their files.
    summaries
        What summary.json beside each says; empty where there is none.
    scores
        The table of the command line: name -> value.
    warnings
        What the reader must know before trusting any of it.

    Raises
    ------
    BackendNotInstalledError
        matplotlib or Jinja2 is not installed.
    OutputError
        The file can't be written.
    """
    removed = found.aligned
    write_page(
        path,
        "comparison.html",
        title="Two reconstructions compared",
        names=names,
        warnings=warnings,
        numbers=_numbers(found),
        maps=_maps(found),
        removed=f"a factor of {removed.scale:.4g}, a phase of {removed.global_phase:.3g} rad, a ramp of "
        f"({removed.phase_ramp[0]:.2g}, {removed.phase_ramp[1]:.2g}) rad/px and a shift of "
        f"({removed.shift[0]:.3g}, {removed.shift[1]:.3g}) px along y and x",
        frc=_frc(found),
        scores=scores,
        settings=_rows(summaries),
    )


def _numbers(found: Comparison) -> list[Fact]:
    return [
        Fact("Complex error", f"{found.complex_nrmse:.3g}", "rms of A less B, relative"),
        Fact("Amplitude correlates", f"{found.amplitude_pearson:.3f}", "Pearson"),
        Fact("Phase correlates", f"{found.phase_pearson:.3f}", "Pearson"),
        Fact("FRC, half bit", f"{found.frc_half_bit:.3f}", "of Nyquist"),
        Fact("Seen by both", f"{100 * found.shared:.0f} %", "of the smaller field"),
    ]


def _maps(found: Comparison) -> Field:
    box = bounding_box(found.mask, 0)
    step = step_for(found.mask[box].shape)
    turn = free_turn(found.reference, found.mask)
    a, known = averaged(found.aligned.image[box] * turn, found.mask[box], step)
    b, _ = averaged(found.reference[box] * turn, found.mask[box], step)
    colours, limits = phase_colours(np.angle(b), known)
    maps = [
        *_triple("Amplitude", "", np.abs(a), np.abs(b), known, AMPLITUDE_COLOURS, robust_limits(np.abs(b), known)),
        *_triple("Phase", "rad", phase_near(a, b), np.angle(b), known, colours, limits),
    ]
    return field_of(maps, box, found.origin, step, None)


def _triple(
    name: str, unit: str, a: Map, b: Map, known: Any, colours: str, limits: Limits
) -> tuple[PixelMap, PixelMap, PixelMap]:
    most = max(abs(limit) for limit in robust_limits(a - b, known))
    return (
        pixel_map(f"{name} of A", a, known, colours, limits, unit=unit),
        pixel_map(f"{name} of B", b, known, colours, limits, unit=unit),
        pixel_map("A less B", a - b, known, ERROR_COLOURS, (-most, most), unit=unit),
    )


def _frc(found: Comparison) -> Chart:
    x = found.frc.frequency
    words = f"Falls below the half-bit threshold at {found.frc_half_bit:.3f} of Nyquist."
    return line_chart(
        [
            Line("A with B", "tone-1", x, found.frc.correlation),
            Line("half bit", "tone-2 thin", x, found.frc.half_bit),
            Line("one bit", "tone-4 thin", x, found.frc.one_bit),
            Line("1/7", "tone-soft dotted thin", x[[0, -1]], [1 / 7, 1 / 7]),
        ],
        "spatial frequency (fraction of Nyquist)",
        "Fourier ring correlation",
        caption=words,
        alt=f"Fourier ring correlation of A with B. {words}",
        y_range=(min(0.0, float(found.frc.correlation.min())), 1.0),
    )


def _rows(summaries: tuple[Mapping[str, Any], Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Return name, A's value and B's of every setting and number; those that differ come first."""
    a, b = (flat(summary) for summary in summaries)
    rows = [(name.removeprefix("settings."), a.get(name, "-"), b.get(name, "-")) for name in {**a, **b}]
    return sorted(rows, key=lambda row: row[1] == row[2])

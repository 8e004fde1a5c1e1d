"""The page of one reconstruction: the object, how far it can be trusted, and how to make it again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.base.arrays import Mask, Positions
from ptycho.metrics.agreement import Agreement
from ptycho.metrics.region import bounding_box
from ptycho.metrics.self_check import SelfCheck
from ptycho.report.drawing import AMPLITUDE_COLOURS, free_turn, phase_colours, robust_limits
from ptycho.report.figures import seen
from ptycho.report.html.charts import Chart, Line, dot_chart, line_chart
from ptycho.report.html.maps import Field, averaged, counts_pictures, mode_pictures, pixel_map, step_for
from ptycho.report.html.render import write_page

UNCERTAINTY_COLOURS = "inferno"
# Standard deviations of a frame's deviance, and what a frame beyond the last but one is called.
Z_CLASSES = (
    ("z up to 3: as noise goes", "tone-3", -math.inf, 3.0),
    ("z from 3 to 30", "tone-1", 3.0, 30.0),
    ("z above 30", "tone-2", 30.0, math.inf),
)
BRIGHTEST = 4.0  # times the median uncertainty, the brightest colour
LARGEST_PATTERN = 128  # px of a pattern on the page


@dataclass(frozen=True)
class Fact:
    """A number at the top of the page, with a note below it."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Report:
    """What the page shows.

    Attributes
    ----------
    scan, result, check
        What was measured, what was made of it, and what it says of itself.
    facts
        The content of summary.json: numbers, settings, versions, machine, commands.
    training
        Curves of the training, label -> one value an epoch; empty where nothing is known of it.
    """

    scan: Acquisition
    result: Reconstruction
    check: SelfCheck
    facts: Mapping[str, Any]
    training: Mapping[str, Sequence[float]]


def save_report(path: Path, report: Report) -> None:
    """Write the page, whole or not at all.

    Raises
    ------
    BackendNotInstalledError
        matplotlib or Jinja2 is not installed.
    DataError
        The reconstruction covers nothing.
    OutputError
        The file can't be written.
    """
    mask, inner = seen(report.result)
    pixel = pixel_of(report.scan)
    write_page(
        path,
        "report.html",
        title=f"Reconstruction of {Path(str(report.facts['data'])).name}",
        facts=report.facts,
        numbers=_numbers(report, pixel),
        object_maps=_object_maps(report.result, mask, inner, pixel),
        uncertainty=_uncertainty(report, mask, inner, pixel),
        frc=None if report.check.agreement is None else frc_chart(report.check.agreement, pixel),
        frames=_worst(report),
        frame_chart=_frame_chart(report.check),
        scan_chart=_scan_chart(report),
        modes=mode_pictures(report.result.probe),
        verdict=report.check.verdict,
        corrections=_corrections(report.facts["refined"]),
        curves=_curves(report),
        settings=flat(report.facts["settings"]),
    )


def pixel_of(scan: Acquisition) -> float | None:
    """Return the size of an object pixel along x, m, where the scan's file tells it."""
    if scan.geometry is None or scan.geometry.object_pixel is None:
        return None
    return scan.geometry.object_pixel[1]


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings by their full names, as text; six digits of a number, "-" for nothing."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = (
                "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
            )
    return found


def object_field(
    object_: ndarray, mask: Mask, inner: Mask, origin: Float64[ndarray, "2"], pixel: float | None
) -> Field:
    """Return amplitude and phase of the part of an object that the mask keeps, in colours that ``inner`` decides."""
    box = bounding_box(mask, 0)
    step = step_for(mask[box].shape)
    turned = object_[box] * free_turn(object_, inner)
    small, known = averaged(turned, mask[box], step)
    sure = averaged(turned, inner[box], step)[1]
    amplitude, phase = np.abs(small), np.angle(small)
    colours, limits = phase_colours(phase, sure)
    maps = [
        pixel_map("Amplitude", amplitude, known, AMPLITUDE_COLOURS, robust_limits(amplitude, sure)),
        pixel_map("Phase less its mean", phase, known, colours, limits, unit="rad"),
    ]
    return field_of(maps, box, origin, step, pixel)


def field_of(
    maps: Sequence[Any], box: tuple[slice, slice], origin: Float64[ndarray, "2"], step: int, pixel: float | None
) -> Field:
    """Return maps of the pixels in a box of a canvas whose first pixel lies at ``origin``."""
    top, left = (float(start + part.start) for start, part in zip(origin, box, strict=True))
    return Field(maps, step, top, left, pixel)


def length(pixels: float, pixel: float | None) -> str:
    """Return a length of some pixels in words: in nm where the size of a pixel, m, is known."""
    return f"{pixels:.3g} px" if pixel is None else f"{1e9 * pixels * pixel:.3g} nm"


def frc_chart(agreement: Agreement, pixel: float | None) -> Chart:
    """Draw the correlation of two halves with its thresholds and its limits."""
    frc = agreement.frc
    x = frc.frequency
    crossing = frc.crossing("half_bit")
    found = (
        f"It falls below the half-bit threshold at {crossing:.3f} of Nyquist: details of {length(1 / crossing, pixel)}."
        if 0 < crossing < 1
        else "It never falls below the half-bit threshold."
        if crossing == 1
        else "It is below the half-bit threshold from the start."
    )
    limit = float(x[-1])
    trusted = frc.correlation > frc.half_bit
    if np.sum(trusted[x > crossing]) > np.sum(trusted[x < crossing]):
        found += " It rises above it again: the halves differ in coarse shape, not only in detail."
    # Where the halves share nothing, the power of the signal is not known, and the limits with it.
    between, against = (
        np.where(trusted, curve, np.nan) for curve in (agreement.limit_between_halves, agreement.limit_against_truth)
    )
    return line_chart(
        [
            Line("halves of the scan", "tone-1", x, frc.correlation),
            Line("limit of shot noise between halves", "tone-3 dashed thin", x, between),
            Line("limit for the whole dose against the truth", "tone-3 dotted thin", x, against),
            Line("half bit", "tone-2 thin", x, frc.half_bit),
            Line("one bit", "tone-4 thin", x, frc.one_bit),
            Line("1/7", "tone-soft dotted thin", x[[0, -1]], [1 / 7, 1 / 7]),
        ],
        "spatial frequency (fraction of Nyquist)",
        "Fourier ring correlation",
        caption=f"{found} Each half has every other frame, so this is consistency at half the dose, not a comparison "
        "with the truth. The limits are the bound of shot noise for a known probe, from a few drawn errors, shown "
        "where the halves correlate above the half bit.",
        alt=f"Fourier ring correlation between two halves of the scan; {found}",
        y_range=(min(0.0, float(frc.correlation.min())), 1.0),
        marks=[crossing] if 0 < crossing < 1 else [],
        top_labels=[(f, length(1 / f, pixel)) for f in (0.2, 0.4, 0.6, 0.8, limit) if x[0] <= f <= limit],
    )


def _numbers(report: Report, pixel: float | None) -> list[Fact]:
    facts, check = report.facts, report.check
    said = check.as_dict()
    crossing = said["frc_crossings"]["half_bit"]
    numbers = [
        Fact("Finest detail", length(1 / crossing, pixel) if crossing else "-", "halves of the scan, FRC, half bit"),
        Fact("Deviance", f"{facts['deviance']:.3g}", "a pixel; noise: about 1, less at few counts"),
        Fact("R-factor", f"{facts['r_factor']:.3g}", "of amplitudes"),
        Fact(
            "Worst frame",
            f"z = {check.z.max():.1f}",
            f"frame {int(check.worst.indices[0])}; median {np.median(check.z):.1f}",
        ),
        Fact("Frames", f"{facts['n_positions']}", f"{report.scan.size} x {report.scan.size} px"),
        Fact("Iterations", f"{facts['iterations']}", _what_came_of_iterations(facts)),
    ]
    if field := facts["field"]:
        (height, width), (of_height, of_width) = field["shape"], field["canvas"]
        numbers.append(
            Fact("Shown here", f"{height} x {width} px", f"the middle of {of_height} x {of_width} px, checked for all")
        )
    if check.agreement is not None:
        least = "" if check.limit is None else f"; photons alone: {_from_db(check.limit.amplitude_db)}"
        numbers.append(Fact("Amplitude within", f"± {said['typical_amplitude_deviation']:.2g}", f"typically{least}"))
        least = "" if check.limit is None else f"; photons alone: {_from_db(check.limit.phase_db)}"
        numbers.append(Fact("Phase within", f"± {said['typical_phase_deviation']:.2g} rad", f"typically{least}"))
    if facts["held_out_deviance"] is not None:
        numbers.insert(2, Fact("Held-out deviance", f"{facts['held_out_deviance']:.3g}", "pixels not fitted"))
    return numbers


def _what_came_of_iterations(facts: Mapping[str, Any]) -> str:
    if facts["network_kept"]:
        return "dismissed for the object: photons kept apart decided for the network alone"
    said = "after the network"
    if facts["network_weight"]:
        said += f", whose object makes up {facts['network_weight']:.0%} of the result"
    return f"{said}; held-out pixels ended them" if facts["stopped_early"] else said


def _corrections(refined: Mapping[str, Any]) -> list[Fact]:
    """Return what the iterations found beside object and probe; nothing where they were not asked to."""
    moved, flux, background = refined["position_correction"], refined["flux"], refined["background"]
    varies = refined["probe_variation"]
    found = []
    if moved is not None:
        found.append(Fact("Positions moved by", f"{moved['rms']:.3g} px", f"rms; at most {moved['largest']:.3g} px"))
    if flux is not None:
        found.append(Fact("Flux of a frame", f"{flux['smallest']:.3g} to {flux['largest']:.3g}", "of the mean"))
    if background is not None:
        found.append(Fact("Background", f"{background:.3g}", "counts a detector pixel"))
    if varies is not None:
        weights = ", ".join(f"{weight:.2g}" for weight in varies)
        found.append(Fact("Probe varies by", weights, "of the main mode, rms over frames, by mode of variation"))
    return found


def _from_db(psnr: float) -> str:
    """Return the root mean square error that a PSNR with peak 1 stands for."""
    return f"{10 ** (-psnr / 20):.2g}"


def _object_maps(result: Reconstruction, mask: Mask, inner: Mask, pixel: float | None) -> Field:
    return object_field(result.object_, mask, inner, result.origin, pixel)


def _uncertainty(report: Report, mask: Mask, inner: Mask, pixel: float | None) -> Field:
    box = bounding_box(mask, 0)
    step = step_for(mask[box].shape)
    check = report.check
    named = {"Shot-noise limit": (check.shot_noise, "")}
    if check.agreement is not None:
        named = {
            "Amplitude, standard deviation": (check.amplitude_deviation, ""),
            "Phase, standard deviation": (check.phase_deviation, "rad"),
        } | named
    small = [
        (name, unit, *averaged(values[box], mask[box] & np.isfinite(values[box]), step))
        for name, (values, unit) in named.items()
    ]
    # One scale for all, since their ratio is what tells; the rim, which few frames saw, does not set it.
    sure = averaged(mask[box].astype(float), inner[box], step)[1]
    most = BRIGHTEST * float(np.median(np.concatenate([values[known & sure] for *_, values, known in small])))
    maps = [
        pixel_map(name, values, known, UNCERTAINTY_COLOURS, (0.0, most), unit=unit)
        for name, unit, values, known in small
    ]
    return field_of(maps, box, report.result.origin, step, pixel)


def _worst(report: Report) -> list[dict[str, Any]]:
    worst, check = report.check.worst, report.check
    return [
        {
            "index": index,
            "z": f"{check.z[index]:.1f}",
            "deviance": f"{check.deviance[index]:.3g}",
            "pictures": counts_pictures(*(_summed(pattern) for pattern in (measured, expected))),
        }
        for index, measured, expected in zip(worst.indices.tolist(), worst.measured, worst.expected, strict=True)
    ]


def _summed(pattern: ndarray) -> ndarray:
    step = -(-pattern.shape[0] // LARGEST_PATTERN)
    return averaged(pattern, np.ones(pattern.shape, dtype=bool), step)[0]


def _frame_chart(check: SelfCheck) -> Chart:
    return line_chart(
        [Line("deviance", "tone-1", np.arange(len(check.deviance)), check.deviance)],
        "frame",
        "deviance per pixel",
        caption="Mean Poisson deviance of every frame, in the order of the scan. A frame that stands out has moved, "
        "was exposed otherwise, or lies where the sample is not what the network expects.",
        alt=f"Deviance of {len(check.deviance)} frames, from {check.deviance.min():.3g} to {check.deviance.max():.3g}",
    )


def _scan_chart(report: Report) -> Chart:
    result, z = report.result, report.check.z
    moved = result.corrections
    used = result.positions if result.corrected_positions is None else result.corrected_positions
    groups: list[tuple[str, str, Positions]] = [
        (name, style, used[(z > low) & (z <= high)]) for name, style, low, high in Z_CLASSES
    ]
    words = "used as the file has them: positions were not corrected"
    if moved is not None:
        lengths = np.hypot(*moved.T)
        words = (
            f"corrected by {np.sqrt(np.mean(lengths**2)):.3g} px rms and at most {lengths.max():.3g} px; a line leads "
            "to each from where the file has it"
        )
    return dot_chart(
        [group for group in groups if len(group[2])],
        caption=f"{len(used)} scan positions, {words}. Colours say how badly a frame fits.",
        alt=f"{len(used)} scan positions, {words}",
        trails=None if moved is None else (result.positions, used),
    )


def _curves(report: Report) -> list[Chart]:
    charts = []
    tones = ("tone-1", "tone-2", "tone-3", "tone-4")
    if report.training:
        lines = [
            Line(name, tone, np.arange(1, len(curve) + 1), curve)
            for (name, curve), tone in zip(report.training.items(), tones, strict=False)
        ]
        if "pretrain" in report.facts["commands"]:
            words = "Error of the object in simulated experiments, from pretraining.json of the run."
            charts.append(line_chart(lines, "check", "relative error", caption=words, alt=words))
        else:
            words = "Loss of the training, from training.json of the run."
            charts.append(line_chart(lines, "epoch", "loss", caption=words, alt=words))
    deviances = {
        "pixels that are fitted": report.result.history.get("deviance", []),
        "pixels held out": report.result.history.get("held_out_deviance", []),
    }
    lines = [
        Line(name, tone, np.arange(len(curve)), curve)
        for (name, curve), tone in zip(deviances.items(), tones, strict=False)
        if curve
    ]
    if lines:
        words = "Deviance during the likelihood iterations; the network's own object is iteration 0."
        charts.append(line_chart(lines, "iteration", "deviance per pixel", caption=words, alt=words))
    return charts

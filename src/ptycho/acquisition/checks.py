"""Look a scan over before anything expensive starts: what makes it useless, and what makes it doubtful."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.statistics import Statistics, centre_of_mass, statistics
from ptycho.base.blocks import extremes
from ptycho.base.errors import DataError
from ptycho.base.printable import counted
from ptycho.optics.geometry import Geometry, Pair

SMALLEST_SIZE = 16
LARGEST_CANVAS = 2**31
SMALLEST_OVERLAP = 0.5
FEWEST_COUNTS = 100.0
FRAMES_LOOKED_AT = 64
BETWEEN, ROUNDING = 0.05, 1e-6  # distance from a whole number of counts, absolute and relative
LENGTHS = "check energy, distance, detector pixel and the unit of the positions"
IN_UNITS = "give the energy in eV, distance and detector pixel in m: --energy, --distance, --detector_pixel"
# A gap is more often a wrong length than a wide step, and patterns in the near field look like one.
FAR = "check the lengths, the unit of the positions and that the patterns are far field; else "
# What X-rays and electrons are measured with: where a unit is mistaken, a thousandfold, one of these is left.
SOUND_ENERGY, SOUND_DISTANCE = (50.0, 2e6), (1e-4, 100.0)  # eV of a photon of the same wavelength, m
SOUND_DETECTOR, SOUND_PIXEL = (1e-7, 1e-3), (1e-3, 1e4)  # m, and nm of the object


@dataclass(frozen=True)
class Finding:
    """One remark on a scan: "refuse" when it can't be used, "warn" when its result will suffer.

    Attributes
    ----------
    level
        "refuse" or "warn".
    what, expected, do
        What was found, what was expected, and what to do about it.
    """

    level: Literal["refuse", "warn"]
    what: str
    expected: str
    do: str

    def __str__(self) -> str:
        """Return the remark as one line."""
        return f"found {self.what}, expected {self.expected}; {self.do}"


def check(acquisition: Acquisition) -> tuple[Finding, ...]:
    """Return all remarks on a scan, those that refuse it first.

    When the arrays themselves are unusable (shapes, values that aren't finite) nothing else is looked at.
    """
    unusable = tuple(_arrays(acquisition))
    if unusable:
        return unusable
    seen = statistics(acquisition)
    findings = [finding for look in LOOKS for finding in look(acquisition, seen)]
    return tuple(sorted(findings, key=lambda finding: finding.level != "refuse"))


def require(acquisition: Acquisition) -> tuple[Finding, ...]:
    """Return the warnings on a scan that can be used.

    Raises
    ------
    DataError
        It can't be used; the message is the first reason.
    """
    findings = check(acquisition)
    if findings and findings[0].level == "refuse":
        raise DataError(str(findings[0]))
    return findings


def require_labels(acquisition: Acquisition, name: str) -> None:
    """Refuse a scan that supervised training can't learn from; ``name`` is what the message calls it.

    Raises
    ------
    DataError
        It has no true patches and no true object, or the object lies elsewhere.
    """
    if acquisition.labels is not None:
        return
    if acquisition.object_ is None:
        raise DataError(
            f"found no true patches in the {name}, expected objectGuess, or Y or label (n, N, N) complex, since "
            "model_type is 'supervised'; add one of them, or set model_type to pinn, which needs none (DATA-SUP-001)"
        )
    pixels = np.round(acquisition.positions)
    if not ((pixels >= 0) & (pixels < acquisition.object_.shape)).all(axis=1).any():
        low, high = acquisition.positions.min(axis=0).tolist(), acquisition.positions.max(axis=0).tolist()
        raise DataError(
            f"found an objectGuess of {acquisition.object_.shape} px and positions (y, x) from {low} to {high} in the "
            f"{name}, expected positions that index its pixels; give both in one frame"
        )


def require_whole_counts(acquisition: Acquisition, name: str) -> None:
    """Refuse a scan whose patterns are no numbers of photons; ``name`` is what the message calls it.

    Some frames are looked at, and single precision is allowed for.

    Raises
    ------
    DataError
        Counts lie between whole numbers.
    """
    step = -(-acquisition.n_positions // FRAMES_LOOKED_AT)
    counts = acquisition.counts(slice(None, None, step))[:, acquisition.mask]
    apart = np.abs(counts - np.rint(counts)) > BETWEEN + ROUNDING * counts
    if apart.any():
        raise DataError(
            f"found {counts[apart][0]:.4g} counts in a pixel of the {name}, whose patterns are {acquisition.quantity}, "
            "expected whole numbers of photons to split at random; set thinning to 0, or give the counts themselves"
        )


def _arrays(scan: Acquisition) -> Iterator[Finding]:
    shape, n, size = scan.patterns.shape, scan.n_positions, scan.size
    if shape != (n, size, size) or n == 0:
        yield Finding(
            "refuse",
            f"patterns of shape {shape} for {n} positions",
            "(position, N, N), at least one",
            "correct the file",
        )
        return
    if size % 2 or size < SMALLEST_SIZE:
        yield Finding(
            "refuse",
            f"patterns of {size} px",
            f"an even number of at least {SMALLEST_SIZE}",
            "crop or pad the patterns",
        )
    if scan.mask.shape != (size, size) or scan.probe.shape[1:] != (size, size):
        yield Finding(
            "refuse",
            f"a mask {scan.mask.shape} and a probe {scan.probe.shape} for patterns of {size} px",
            "one size",
            "bring them to the size of the patterns",
        )
    lowest, highest = extremes(scan.patterns)
    if not np.isfinite([lowest, highest]).all() or lowest < 0:
        yield Finding(
            "refuse",
            f"patterns from {lowest:g} to {highest:g}",
            "finite values, not negative",
            "set bad values to 0 and mark their pixels in bad_pixels",
        )
    for name, values in (("positions", scan.positions), ("probe", scan.probe)):
        if not np.isfinite(values).all():
            yield Finding("refuse", f"NaN or infinity in the {name}", "finite values", "correct the file")


def _frames(scan: Acquisition, seen: Statistics) -> Iterator[Finding]:
    if scan.n_positions < 2:
        yield Finding("warn", "1 position", "at least 2, that overlap", "give a longer scan")
    dark = np.flatnonzero(seen.frame_counts == 0)
    if not scan.mask.any():
        yield Finding("refuse", "a mask that trusts no pixel", "trusted pixels", "correct bad_pixels")
    elif len(dark) == scan.n_positions:
        yield Finding("refuse", "no counts in any frame", "light", "check the source of the file")
    elif len(dark):
        yield Finding(
            "warn",
            f"{counted(len(dark), 'frame')} without counts (first: {dark[0]})",
            "light in every frame",
            "leave these frames out",
        )
    lit = seen.frame_counts[seen.frame_counts > 0]
    if len(lit) and (median := float(np.median(lit))) < FEWEST_COUNTS:
        yield Finding(
            "warn", f"{median:.3g} counts in a frame", f"at least {FEWEST_COUNTS:g}", "expect noise, or expose longer"
        )
    elif len(lit) and (odd := int(((lit > 10 * median) | (lit < 0.1 * median)).sum())):
        yield Finding(
            "warn",
            f"{counted(odd, 'frame')} ten times brighter or darker than the median",
            "steady light",
            "leave these frames out",
        )


def _centring(scan: Acquisition, seen: Statistics) -> Iterator[Finding]:
    if not seen.mean_pattern.any():
        return
    # Light about the corner is spread far from the middle and close to it once the halves are swapped.
    if _spread(np.fft.fftshift(seen.mean_pattern)) < 0.5 * _spread(seen.mean_pattern):
        yield Finding(
            "refuse",
            "patterns with zero frequency at index [0, 0]",
            f"zero frequency at [{scan.size // 2}, {scan.size // 2}]",
            "fftshift the patterns over their last two axes",
        )
        return
    row, column = centre_of_mass(seen.mean_pattern)
    if max(abs(row - scan.size // 2), abs(column - scan.size // 2)) > scan.size / 8:
        yield Finding(
            "warn",
            f"a mean pattern centred at ({row:.1f}, {column:.1f}) px",
            f"({scan.size // 2}, {scan.size // 2}) within {scan.size // 8} px",
            "crop the detector about the beam",
        )


def _geometry(scan: Acquisition, seen: Statistics) -> Iterator[Finding]:
    known = scan.geometry or Geometry()
    pixel = None if known.object_pixel is None else (known.object_pixel[0] * 1e9, known.object_pixel[1] * 1e9)
    found, expected = [], []
    for name, value, unit, (least, most) in (
        ("an energy", known.energy, "eV", SOUND_ENERGY),
        ("a distance", known.distance, "m", SOUND_DISTANCE),
        ("a detector pixel", known.detector_pixel, "m", SOUND_DETECTOR),
        ("an object pixel", pixel, "nm", SOUND_PIXEL),
    ):
        values = [] if value is None else np.atleast_1d(value).tolist()
        if not all(least <= each <= most for each in values):
            found.append(f"{name} of {' x '.join(f'{each:.4g}' for each in values)} {unit}")
            expected.append(f"{least:g} to {most:g} {unit}")
    if found:
        yield Finding("warn", ", ".join(found), ", ".join(expected), IN_UNITS)


def _positions(scan: Acquisition, seen: Statistics) -> Iterator[Finding]:
    height, width = np.ptp(scan.positions, axis=0)
    pixel = scan.geometry and scan.geometry.object_pixel
    if scan.n_positions > 1 and max(height, width) < 1:
        yield Finding(
            "refuse",
            f"positions within {max(height, width):.3g} px",
            _of_size(pixel) if pixel else "pixels of the object (these look like metres)",
            LENGTHS if pixel else "divide them by the object's pixel size",
        )
        return
    if (height + scan.size) * (width + scan.size) > LARGEST_CANVAS:
        yield Finding(
            "refuse",
            f"positions spread over {height:.3g} x {width:.3g} px",
            f"an object of at most {LARGEST_CANVAS:.1g} px in all",
            f"{LENGTHS}, or split the scan" if pixel else "check that they are in pixels, or split the scan",
        )
    if seen.n_duplicates:
        yield Finding(
            "warn",
            counted(seen.n_duplicates, "repeated position"),
            "different positions",
            "check the positions",
        )


def _overlap(scan: Acquisition, seen: Statistics) -> Iterator[Finding]:
    if not scan.probe.any():
        yield Finding("refuse", "a probe that is zero everywhere", "a guess of the probe", "give probeGuess")
    elif scan.n_positions > 1 and seen.overlap < SMALLEST_OVERLAP:
        yield Finding(
            "warn",
            f"neighbours {seen.step:.3g} px apart and a probe {seen.diameter:.3g} px wide: "
            + (f"a gap of {seen.gap:.3g} px" if seen.gap else f"an overlap of {seen.overlap:.2f} of its diameter"),
            f"an overlap of at least {SMALLEST_OVERLAP}",
            f"{FAR if seen.gap else ''}scan with smaller steps or a larger probe",
        )


def _pixels(scan: Acquisition, seen: Statistics) -> Iterator[Finding]:
    total = seen.mean_pattern * scan.n_positions
    around = np.stack([np.roll(total, shift, (0, 1)) for shift in NEIGHBOURS])
    trusted = np.stack([np.roll(scan.mask, shift, (0, 1)) for shift in NEIGHBOURS])
    surrounded = scan.mask & trusted.all(axis=0)
    surrounded[[0, -1], :] = surrounded[:, [0, -1]] = False
    dead = surrounded & (total == 0) & (around.min(axis=0) > 30)
    hot = surrounded & (total > 10 * around.max(axis=0)) & (total > 100) & ~_direct_beam(scan.size)
    for name, pixels in (("dead", dead), ("hot", hot)):
        if pixels.any():
            row, column = np.argwhere(pixels)[0]
            yield Finding(
                "warn",
                f"{counted(int(pixels.sum()), f'{name} detector pixel')} (first: [{row}, {column}]) among the trusted",
                "pixels like their neighbours",
                "mark them in bad_pixels",
            )


def _of_size(pixel: Pair) -> str:
    return f"pixels of the object, here {pixel[0] * 1e9:.4g} x {pixel[1] * 1e9:.4g} nm"


def _spread(pattern: np.ndarray) -> float:
    axis = np.arange(len(pattern)) - len(pattern) // 2
    squared_radius = axis[:, None] ** 2 + axis[None, :] ** 2
    return float((squared_radius * pattern).sum() / pattern.sum())


def _direct_beam(size: int) -> np.ndarray:
    axis = np.arange(size) - size // 2
    return np.hypot(axis[:, None], axis[None, :]) < max(2, size // 16)


NEIGHBOURS = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))
LOOKS: tuple[Callable[[Acquisition, Statistics], Iterator[Finding]], ...] = (
    _frames,
    _centring,
    _geometry,
    _positions,
    _overlap,
    _pixels,
)

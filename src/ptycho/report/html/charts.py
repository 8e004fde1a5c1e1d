"""Curves and dots as scalable drawings that follow the colours of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from numpy.typing import ArrayLike

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 520, 58, 508, 26, 42  # px; margins from the drawing's edges but for RIGHT
HEIGHT = 300
WIDE = 20.0  # a ratio of values from which an axis goes by decades
MOST_POINTS = 1000  # of a line
MOST_DOTS = 20_000
SINGLE = 6.0  # px, the dot of a line that has one point

Ticks = list[tuple[float, str]]
Points = tuple[Float64[ndarray, " point"], Float64[ndarray, " point"]]  # x and y


@dataclass(frozen=True)
class Line:
    """A curve by its name, CSS classes and points (x, y); a point that is not finite breaks it."""

    name: str
    style: str
    x: ArrayLike
    y: ArrayLike


@dataclass(frozen=True)
class Drawn:
    """A line on the page: name, CSS classes, path, and the width of its dots (None for a curve)."""

    name: str
    style: str
    path: str
    dot: float | None = None


@dataclass(frozen=True)
class Chart:
    """A drawing: lines and ticks in px of the drawing, and its texts."""

    lines: list[Drawn]
    x_ticks: Ticks
    y_ticks: Ticks
    x_label: str
    y_label: str
    caption: str
    alt: str
    top_ticks: Ticks
    marks: list[float]
    height: float = HEIGHT
    width: float = WIDTH
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP

    @property
    def bottom(self) -> float:
        """Lower edge of the axes, px."""
        return self.height - BOTTOM


@dataclass(frozen=True)
class _Axis:
    """From values between ``low`` and ``high`` to px between ``first`` and ``last``."""

    low: float
    high: float
    first: float
    last: float
    logarithmic: bool = False

    def __call__(self, values: ArrayLike) -> Float64[ndarray, "..."]:
        low, high, at = (self._measure(v) for v in (self.low, self.high, values))
        return np.asarray(self.first + (at - low) / (high - low) * (self.last - self.first))

    def _measure(self, values: ArrayLike) -> Float64[ndarray, "..."]:
        plain = np.asarray(values, dtype=np.float64)
        return np.asarray(np.log10(plain)) if self.logarithmic else plain

    def ticks(self) -> Ticks:
        from matplotlib.ticker import LogLocator, MaxNLocator

        locator = (
            LogLocator(subs=(1, 2, 5), numticks=9) if self.logarithmic else MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])
        )
        slack = 1e-9 * abs(self.high - self.low)
        ticks = [float(t) for t in locator.tick_values(self.low, self.high)]
        ticks = [t for t in ticks if self.low - slack <= t <= self.high + slack]
        return [(round(float(self(t)), 1), f"{t:.6g}".replace("-", "\u2212")) for t in ticks]


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    caption: str,
    alt: str,
    y_range: tuple[float, float] | None = None,
    marks: Sequence[float] = (),
    top_labels: Sequence[tuple[float, str]] = (),
) -> Chart:
    """Draw curves over one x axis.

    Parameters
    ----------
    lines
        At least one; all with at least one finite point.
    y_range
        Values at the bottom and the top; what the curves need when None, by decades where they span much.
    marks
        Values of x with an upright line.
    top_labels
        Values of x with a text above.
    """
    x_values, y_values = (np.concatenate([np.asarray(v, float) for v in vs]) for vs in _points(lines))
    usable = y_values[np.isfinite(y_values)]
    logarithmic = y_range is None and usable.size > 0 and bool(0 < usable.min() < usable.max() / WIDE)
    low, high = y_range or _range(usable, logarithmic)
    x_low, x_high = float(x_values.min()), float(x_values.max())
    x_axis = _Axis(x_low, x_high if x_high > x_low else x_low + 1, LEFT, RIGHT)
    y_axis = _Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic)
    return Chart(
        lines=[_drawn(line, x_axis(line.x), y_axis(line.y)) for line in lines],
        x_ticks=x_axis.ticks(),
        y_ticks=y_axis.ticks(),
        x_label=x_label,
        y_label=y_label,
        caption=caption,
        alt=alt,
        top_ticks=[(round(float(x_axis(x)), 1), text) for x, text in top_labels],
        marks=[round(float(x_axis(mark)), 1) for mark in marks],
    )


def dot_chart(
    groups: Sequence[tuple[str, str, Float64[ndarray, "_ 2"]]],
    *,
    caption: str,
    alt: str,
    trails: tuple[Float64[ndarray, "_ 2"], Float64[ndarray, "_ 2"]] | None = None,
) -> Chart:
    """Draw positions, (y, x) px, y downwards; each group by its name and CSS classes. Very many are thinned out.

    Trails are thin lines, each from one position to another.
    """
    every = np.concatenate([positions for _, _, positions in groups])
    (top, left), (bottom, right) = every.min(axis=0), every.max(axis=0)
    margin = 0.03 * max(bottom - top, right - left, 1.0)
    wide, high = right - left + 2 * margin, bottom - top + 2 * margin
    height = min(max(TOP + BOTTOM + (RIGHT - LEFT) * high / wide, 200), 560)
    # One scale for both: a circle of the sample is a circle on the page.
    scale = min((RIGHT - LEFT) / wide, (height - TOP - BOTTOM) / high)
    spare = (RIGHT - LEFT) / scale - wide
    x_axis = _Axis(left - margin - spare / 2, right + margin + spare / 2, LEFT, RIGHT)
    y_axis = _Axis(top - margin, bottom + margin, TOP, height - BOTTOM)
    thin = max(1, -(-len(every) // MOST_DOTS))
    dot = min(max(0.35 * math.sqrt((RIGHT - LEFT) * (height - TOP - BOTTOM) / max(len(every) / thin, 1)), 1.5), 7)
    drawn = [
        Drawn(name, f"dots {style}", _dots(x_axis(positions[::thin, 1]), y_axis(positions[::thin, 0])), dot)
        for name, style, positions in groups
    ]
    if trails is not None:
        ends = [(x_axis(end[::thin, 1]), y_axis(end[::thin, 0])) for end in trails]
        drawn.append(Drawn("corrections", "tone-soft thin", _trails(*ends)))
    return Chart(drawn, x_axis.ticks(), y_axis.ticks(), "x (px)", "y (px)", caption, alt, [], [], height)


def _points(lines: Sequence[Line]) -> tuple[list[ArrayLike], list[ArrayLike]]:
    return [line.x for line in lines], [line.y for line in lines]


def _range(values: Float64[ndarray, " value"], logarithmic: bool) -> tuple[float, float]:
    low, high = (float(values.min()), float(values.max())) if values.size else (0.1, 1.0)
    if logarithmic:
        return low / 1.2, high * 1.2
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _drawn(line: Line, x: Float64[ndarray, " point"], y: Float64[ndarray, " point"]) -> Drawn:
    known = np.isfinite(y)
    if known.sum() == 1:
        # A single point has no length that could be drawn.
        return Drawn(line.name, f"dots {line.style}", _dots(x[known], y[known]), SINGLE)
    return Drawn(line.name, line.style, _path(x, y))


def _path(x: Float64[ndarray, " point"], y: Float64[ndarray, " point"]) -> str:
    thin = -(-len(x) // MOST_POINTS)
    parts, pen = [], "M"
    for across, down in zip(x[::thin].tolist(), y[::thin].tolist(), strict=True):
        if not math.isfinite(down):
            pen = "M"
            continue
        parts.append(f"{pen}{across:.1f} {min(max(down, -999), 9999):.1f}")
        pen = "L"
    return "".join(parts)


def _trails(start: Points, end: Points) -> str:
    rows = zip(*start, *end, strict=True)
    return "".join(f"M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" for x, y, to_x, to_y in rows)


def _dots(x: Float64[ndarray, " point"], y: Float64[ndarray, " point"]) -> str:
    return "".join(f"M{across:.1f} {down:.1f}h0" for across, down in zip(x.tolist(), y.tolist(), strict=True))

"""Maps for a page: pictures to look at, and beside them the values for the pointer."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float, Float64, Shaped, UInt8
from numpy import ndarray

from ptycho.base.arrays import Mask, Probe
from ptycho.base.errors import extra_missing
from ptycho.report.drawing import Limits, Map, hues

LARGEST_SIDE = 640  # px of a map on a page; larger ones are averaged over squares
N_COLOURS = 255  # the last entry of the palette is for what is not known
LEVELS = 65534  # of a quantised value
NOTHING = 65535
STOPS = 9  # of the gradient of a colour bar


@dataclass(frozen=True)
class PixelMap:
    """A picture with its values.

    Attributes
    ----------
    name, unit, alt
        What it shows; a sentence for who can't see it.
    height, width
        Pixels.
    image
        The picture, a data URL.
    least, most, values
        Quantised values, base64 of little-endian 16-bit numbers: 0 is ``least``, 65534 ``most``, 65535 not known.
    gradient, ticks
        Colours from below, and the values at the bottom, middle and top of the bar.
    """

    name: str
    unit: str
    alt: str
    height: int
    width: int
    image: str
    least: float
    most: float
    values: str
    gradient: str
    ticks: tuple[str, str, str]


@dataclass(frozen=True)
class Field:
    """Maps of the same pixels that are looked at together.

    Attributes
    ----------
    maps
        At least one; all of one shape.
    step
        Scan pixels along the side of a pixel of the maps.
    top, left
        Position, scan pixels, of the first pixel.
    pixel
        Size of a scan pixel, m, where it is known.
    """

    maps: Sequence[PixelMap]
    step: int
    top: float
    left: float
    pixel: float | None

    @property
    def height(self) -> int:
        """Pixels of each map along y."""
        return self.maps[0].height

    @property
    def width(self) -> int:
        """Pixels of each map along x."""
        return self.maps[0].width


def step_for(shape: tuple[int, ...]) -> int:
    """Return how many pixels are averaged along each side so that a map fits a page."""
    return -(-max(shape) // LARGEST_SIDE)


def averaged(field: Shaped[ndarray, "height width"], mask: Mask, step: int) -> tuple[ndarray, ndarray]:
    """Return the means over squares of step x step px of what the mask keeps, and where there is any."""
    pads = [(0, -length % step) for length in field.shape]
    height, width = (-(-length // step) for length in field.shape)
    sums, counts = (
        np.pad(values, pads).reshape(height, step, width, step).sum(axis=(1, 3))
        for values in (np.where(mask, field, 0), mask.astype(int))
    )
    return sums / np.maximum(counts, 1), counts > 0


def pixel_map(name: str, values: Map, mask: Mask, colours: str, limits: Limits, *, unit: str = "") -> PixelMap:
    """Return a map in the colours of matplotlib, between limits; what the mask leaves out has no colour and no value.

    Raises
    ------
    BackendNotInstalledError
        matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise extra_missing("matplotlib", "report") from error
    low, high = limits
    known = mask & np.isfinite(values)
    inside = values[known]
    least, most = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 1.0)
    most = most if most > least else least + 1
    colour_map = mpl.colormaps[colours]
    palette = (255 * colour_map(np.linspace(0, 1, N_COLOURS))[:, :3]).round().astype(np.uint8)
    filled = np.where(known, values, low)
    index = np.where(known, np.clip((filled - low) / (high - low), 0, 1) * (N_COLOURS - 1), N_COLOURS)
    stops = (255 * colour_map(np.linspace(0, 1, STOPS))[:, :3]).astype(int).tolist()
    levels = np.where(known, (filled - least) / (most - least) * LEVELS, NOTHING).round().astype("<u2")
    height, width = values.shape
    return PixelMap(
        name=name,
        unit=unit,
        alt=f"{name}: {height} by {width} pixels, colours from {low:.3g} to {high:.3g} {unit}".strip(),
        height=height,
        width=width,
        image=png(index.round().astype(np.uint8), palette),
        least=least,
        most=most,
        values=base64.b64encode(levels.tobytes()).decode(),
        gradient=", ".join(f"rgb({r} {g} {b})" for r, g, b in stops),
        ticks=(f"{low:.3g}", f"{(low + high) / 2:.3g}", f"{high:.3g}"),
    )


def png(pixels: UInt8[ndarray, "height width *rgb"], palette: UInt8[ndarray, "colour 3"] | None = None) -> str:
    """Return a picture as a data URL: red, green and blue, or an index in a palette whose next entry is transparent."""
    from PIL import Image

    image, stream = Image.fromarray(pixels), io.BytesIO()
    if palette is None:
        image.save(stream, "png", optimize=True)
    else:
        image.putpalette(palette.tobytes() + bytes(3))
        image.save(stream, "png", optimize=True, transparency=len(palette))
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def counts_pictures(*patterns: Float[ndarray, "y x"]) -> list[str]:
    """Return patterns of counts as pictures of the same colours, log(1 + counts)."""
    import matplotlib as mpl

    most = max(float(pattern.max()) for pattern in patterns)
    return [
        png((255 * mpl.colormaps["magma"](np.log1p(pattern) / np.log1p(most or 1.0))[..., :3]).astype(np.uint8))
        for pattern in patterns
    ]


def mode_pictures(probe: Probe) -> list[tuple[str, float]]:
    """Return every mode of a probe as a picture, amplitude its brightness and phase its hue, and its share of power."""
    power = np.square(np.abs(probe)).sum(axis=(1, 2), dtype=np.float64)
    shares = power / max(float(power.sum()), 1e-30)
    return [(png(_hued(mode)), float(share)) for mode, share in zip(probe, shares, strict=True)]


def _hued(field: Complex[ndarray, "y x"]) -> UInt8[ndarray, "y x 3"]:
    amplitude = np.abs(field) / max(float(np.abs(field).max()), 1e-30)
    coloured: Float64[ndarray, "y x 3"] = hues(np.angle(field).astype(np.float64)) * amplitude[..., None]
    return (255 * coloured).astype(np.uint8)

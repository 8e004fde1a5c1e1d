"""Objects to simulate: complex transmission, amplitude in (0, 1] and phase in rad."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from ptycho.base.arrays import Object
from ptycho.base.errors import extra_missing

ObjectMaker = Callable[[tuple[int, int], np.random.Generator], Object]
Image = Float64[ndarray, "height width"]

LINE_DENSITY = 0.4  # px of line per px^2: 400 lines between random points of a 512 x 512 canvas
LEAF_RADII = (2.0, 60.0)  # px
SPOKES = 36
SPOKE_EDGE = 1.0  # px, half width of the smooth edge
FINEST_PAIR = 2.5  # px, width of a spoke and a gap
SMALLEST_AMPLITUDE = 0.05
ROUGHNESS = 1.75  # amplitude of a cloud's spectrum falls as q^-1.75


def transmission(amplitude: Image, phase: Image) -> Object:
    """Return amplitude * exp(i * phase), the amplitude kept within (0, 1] and the phase in rad."""
    kept: Object = (np.clip(amplitude, SMALLEST_AMPLITUDE, 1.0) * np.exp(1j * phase)).astype(np.complex64)
    return kept


def lines(shape: tuple[int, int], rng: np.random.Generator) -> Object:
    """Random straight lines, smoothed at three scales; amplitude about .35 to 1, phase about -.4 to .8 rad.

    With Y = G(1) L + 2 G(5) L + 5 G(10) L, where L is the drawing and G(s) a Gaussian of s px,
    amplitude = .1 + .9 Y / max(Y) and phase = pi tanh((Y - max(Y) / 2) / (3 mean(Y))).
    Where lines cross the drawing L stays at 1: nothing is counted twice.
    """
    from scipy.ndimage import gaussian_filter

    drawing = np.minimum(_random_lines(shape, rng), 1.0)
    smooth = gaussian_filter(drawing, 1) + 2 * gaussian_filter(drawing, 5) + 5 * gaussian_filter(drawing, 10)
    top, mean = smooth.max(), smooth.mean()
    return transmission(0.1 + 0.9 * smooth / top, np.pi * np.tanh((smooth - top / 2) / (3 * mean)))


def _random_lines(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Draw lines of unit mass per px between random points of a canvas twice as large, and return its middle."""
    canvas = 2 * np.asarray(shape, dtype=float)
    mean_length = 0.52 * np.sqrt(canvas.prod())  # of a segment between two uniform points of a square
    n_lines = max(round(LINE_DENSITY * canvas.prod() / mean_length), 1)
    start, end = rng.uniform(0, 1, (2, n_lines, 2)) * canvas - canvas / 4
    # Each line is a string of beads half a pixel apart, shared between the four pixels around each bead.
    lengths = np.linalg.norm(end - start, axis=1)
    n_beads = np.ceil(2 * lengths).astype(int) + 1
    line = np.repeat(np.arange(n_lines), n_beads)
    along = (np.arange(n_beads.sum()) - np.repeat(np.cumsum(n_beads) - n_beads, n_beads)) / n_beads[line]
    beads = start[line] + along[:, None] * (end - start)[line]
    return _splat(beads, (lengths / n_beads)[line], shape)


def _splat(points: Float64[ndarray, "point 2"], mass: Float64[ndarray, " point"], shape: tuple[int, int]) -> Image:
    corner = np.floor(points).astype(int)
    fraction = points - corner
    drawing = np.zeros(shape)
    for tap in np.ndindex(2, 2):
        index = corner + tap
        inside = ((index >= 0) & (index < shape)).all(axis=1)
        share = np.where(tap, fraction, 1 - fraction).prod(axis=1) * mass
        np.add.at(drawing, tuple(index[inside].T), share[inside])
    return drawing


def dead_leaves(shape: tuple[int, int], rng: np.random.Generator) -> Object:
    """Discs that hide one another, radii with density r^-3; amplitude .4 to 1 and phase -.8 to .8 rad, a pair a disc.

    Edges, flat areas and detail at every scale, with the power spectrum of natural images
    (Lee, Mumford & Huang 2001, DOI 10.1023/A:1011109015675). Edges are one pixel wide.
    """
    smallest, largest = LEAF_RADII
    largest = max(min(largest, min(shape) / 4), 1.1 * smallest)
    mean_area = 2 * np.pi * np.log(largest / smallest) / (smallest**-2 - largest**-2)
    n_leaves = int(4 * np.prod(np.asarray(shape) + 2 * largest) / mean_area)
    ratio = (largest / smallest) ** -2
    radii = smallest / np.sqrt(1 - rng.uniform(0, 1, n_leaves) * (1 - ratio))
    centres = rng.uniform(-largest, np.asarray(shape) + largest, (n_leaves, 2))
    tones = rng.uniform((0.4, -0.8), (1.0, 0.8), (n_leaves, 2))
    picture = np.empty((*shape, 2))
    picture[:] = (0.7, 0.0)
    for (y, x), radius, tone in zip(centres, radii, tones, strict=True):
        top, left = max(int(y - radius - 1), 0), max(int(x - radius - 1), 0)
        box = picture[top : max(int(y + radius + 3), 0), left : max(int(x + radius + 3), 0)]
        rows, columns = np.ogrid[top : top + box.shape[0], left : left + box.shape[1]]
        inside = np.clip(radius + 0.5 - np.hypot(rows - y, columns - x), 0, 1)[..., None]
        box += inside * (tone - box)
    return transmission(picture[..., 0], picture[..., 1])


def siemens(shape: tuple[int, int], rng: np.random.Generator) -> Object:
    """Siemens star of 36 spokes with edges 2 px wide, turned by a random angle; amplitude .7 to 1, phase 0 to .8 rad.

    The distance to the nearest spoke edge is about r sin(n t) / n at the angle t. In the middle, where a pair of
    spokes would be narrower than 2.5 px and alias, the star is even.
    """
    height, width = shape
    rows, columns = np.ogrid[:height, :width]
    y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
    radius, angle = np.hypot(y, x), np.arctan2(y, x) + rng.uniform(0, 2 * np.pi)
    to_edge = radius * np.sin(SPOKES * angle) / SPOKES
    resolved = _soft_step(radius - FINEST_PAIR * SPOKES / (2 * np.pi))
    gold = (0.5 + resolved * (_soft_step(to_edge) - 0.5)) * _soft_step(0.47 * min(shape) - radius)
    return transmission(1 - 0.3 * gold, 0.8 * gold)


def _soft_step(distance: Image) -> Image:
    step: Image = 0.5 * (1 + np.tanh(2 * distance / SPOKE_EDGE))
    return step


def clouds(shape: tuple[int, int], rng: np.random.Generator) -> Object:
    """Two Gaussian random fields without edges; amplitude .4 to 1 and phase -.8 to .8 rad.

    White noise filtered by q^-1.75, and its standard deviation squeezed by tanh into half of the range.
    """
    q = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None, :])
    q[0, 0] = np.inf
    noise = np.fft.fft2(rng.standard_normal((2, *shape)))
    fields = np.fft.ifft2(noise * q**-ROUGHNESS).real
    tone, phase = np.tanh(fields / (2 * fields.std(axis=(1, 2), keepdims=True)))
    return transmission(0.7 + 0.3 * tone, 0.8 * phase)


def picture(shape: tuple[int, int], rng: np.random.Generator) -> Object:
    """Two photographs: amplitude .4 to 1 from a cameraman, phase -.8 to .8 rad from coins; a random cut of each.

    Raises
    ------
    BackendNotInstalledError
        scikit-image, whose wheel carries the photographs, is not installed.
    """
    try:
        from skimage import data
    except ModuleNotFoundError as error:
        raise extra_missing("scikit-image", "report") from error
    return transmission(
        0.4 + 0.6 * _random_cut(data.camera(), shape, rng), -0.8 + 1.6 * _random_cut(data.coins(), shape, rng)
    )


def _random_cut(photograph: ndarray, shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """Return a cut of the photograph in [0, 1], shrunk or enlarged to at least ``shape``, mirrored or not."""
    from skimage.transform import resize

    needed, found = np.asarray(shape), np.asarray(photograph.shape)
    factor = (needed / found).max() * rng.uniform(1.0, 1.3)
    whole = resize(photograph, np.ceil(factor * found).astype(int), anti_aliasing=True)
    top, left = rng.integers(0, whole.shape - needed, endpoint=True)
    cut: Image = whole[top : top + needed[0], left : left + needed[1]]
    return cut[:, :: rng.choice((-1, 1))]


OBJECTS: dict[str, ObjectMaker] = {
    "lines": lines,
    "dead_leaves": dead_leaves,
    "siemens": siemens,
    "clouds": clouds,
    "picture": picture,
}

"""Scans as Ptychodus holds them, measured by Ptychodus' own forward model, and how its answers are compared with truth.

Object and scan are deliberately lopsided: the canvas is not square, its centre is not the origin, and neither object
nor probe has a symmetry, so that a flip, a transpose or a shift shows.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ptychodus.api.assemble import AssembledDiffractionData
from ptychodus.api.constants import energy_eV_to_wavelength_m
from ptychodus.api.geometry import PixelGeometry
from ptychodus.api.io import save_diffraction_data, save_product
from ptychodus.api.object import Object, ObjectGeometry, compute_object_geometry
from ptychodus.api.probe import Probe, ProbeSequence
from ptychodus.api.probe_positions import ProbePosition, ProbePositionSequence
from ptychodus.api.product import Product, ProductMetadata
from ptychodus.api.simulate.diffraction import generate_diffraction_data
from ptychodus.api.simulate.object import generate_dead_leaves_object
from ptychodus.api.simulate.probe import generate_incoherent_probe_modes
from scipy.ndimage import gaussian_filter, map_coordinates

N = 32
PIXEL = PixelGeometry(width_m=10e-9, height_m=10e-9)
ORIGIN_M = (-2e-7, 3e-7)  # (y, x) of the scan's middle
ENERGY_EV = 12_398.0
DISTANCE_M = 2.0
PADDING = 6  # px around what the probe reaches
OFF_CENTRE = (-3, 4)  # px (y, x), a canvas that somebody else chose, against the middle of the scan
STEP = 3.0  # px
ROWS, COLUMNS = 10, 11
HOT, DEAD = (14, 19), (17, 15)  # detector pixels
HOT_COUNTS = 60_000
FLAT = 1e-6  # an object that varies less is rounding


@dataclass(frozen=True)
class Scan:
    """A measured scan: what the detector gave, and the product with the true object."""

    diffraction: AssembledDiffractionData
    truth: Product

    @property
    def start(self) -> Product:
        """The product that a reconstruction starts from: nothing is known of the object."""
        known = self.truth.object_
        flat = Object(np.ones_like(known.get_array()), known.get_pixel_geometry(), known.get_center())
        return replace(self.truth, object_=flat)

    def write(self, folder: Path, product: Product) -> None:
        """Write the two files that every batch run of Ptychodus asks for."""
        save_diffraction_data(folder / "diffraction.h5", self.diffraction)
        save_product(folder / "product.h5", product)


def measured_scan(
    *,
    n: int = N,
    modes: int = 1,
    dtype: str = "uint16",
    bad_pixels: bool = False,
    photons: float = 1e5,
    centred: bool = True,
) -> Scan:
    """Simulate a scan with Poisson noise; the probe of the product holds ``photons``, as Ptychodus scales its own.

    ``n``: side of a pattern, px. ``centred``: the canvas has the middle of the scan in its middle, as one that
    Ptychodus makes.
    """
    rng = np.random.default_rng(11)
    probe = ProbeSequence.from_probe(_probe(n, modes, photons))
    metadata = ProductMetadata("lopsided", "", DISTANCE_M, ENERGY_EV, photons, 1.0, 0.0, 0.0)
    positions = _positions(rng)
    canvas = compute_object_geometry(positions, probe.get_geometry(), padding_px=PADDING)
    if not centred:
        y_m = canvas.center_y_m + OFF_CENTRE[0] * PIXEL.height_m
        x_m = canvas.center_x_m + OFF_CENTRE[1] * PIXEL.width_m
        canvas = replace(canvas, center_y_m=y_m, center_x_m=x_m)
    truth = Product(metadata, positions, probe, _object(canvas, rng), [])
    # The forward model multiplies the wave by one Fresnel number of a pixel and takes an FFT without normalisation.
    bright = ProbeSequence(probe.get_array() / (pixel_fresnel_number() * n), None, PIXEL)
    data = generate_diffraction_data(replace(truth, probes=bright), rng)
    patterns, flagged = data.get_patterns().copy(), np.zeros((n, n), bool)
    if bad_pixels:
        patterns[:, *HOT], patterns[:, *DEAD] = HOT_COUNTS, 0
        flagged[HOT] = flagged[DEAD] = True
    assert patterns.max() <= np.iinfo(dtype).max
    return Scan(
        AssembledDiffractionData(data.get_indexes(), patterns.astype(dtype), data.get_pixel_geometry(), flagged), truth
    )


def pixel_fresnel_number() -> float:
    """dx^2 / (wavelength z)."""
    return PIXEL.width_m**2 / (energy_eV_to_wavelength_m(ENERGY_EV) * DISTANCE_M)


def _object(canvas: ObjectGeometry, rng: np.random.Generator) -> Object:
    leaves = generate_dead_leaves_object(
        rng,
        canvas,
        leaf_radius_lower_px=3,
        leaf_radius_upper_px=14,
        leaf_radius_power_law_exponent=2,
        leaf_amplitude_lower=0.5,
        leaf_amplitude_upper=1.0,
        leaf_phase_lower_tr=-0.12,
        leaf_phase_upper_tr=0.12,
    )
    layer = leaves.get_layer(0)
    smooth = gaussian_filter(layer.real, 1) + 1j * gaussian_filter(layer.imag, 1)
    return Object(smooth, PIXEL, canvas.get_center())


def _positions(rng: np.random.Generator) -> ProbePositionSequence:
    rows, columns = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    grid = STEP * np.stack([rows - (ROWS - 1) / 2, columns - (COLUMNS - 1) / 2], axis=1)
    y, x = (grid + rng.uniform(-1, 1, grid.shape)).T
    y_m, x_m = ORIGIN_M[0] + y * PIXEL.height_m, ORIGIN_M[1] + x * PIXEL.width_m
    return ProbePositionSequence([ProbePosition(i, *xy) for i, xy in enumerate(zip(x_m, y_m, strict=True))])


def _probe(n: int, modes: int, photons: float) -> Probe:
    y, x = (np.mgrid[:n, :n] - (n - 1) / 2) / (n / 4)
    disk = 0.5 * (1 - np.tanh(4 * (np.hypot(y, x) - 1)))
    wave = disk * np.exp(2j * (0.8 * y**2 + 1.2 * x**2 + 0.4 * x * y + 0.3 * x**3))
    wave *= np.sqrt(photons / np.sum(np.abs(wave) ** 2))
    return generate_incoherent_probe_modes(Probe(wave[None], PIXEL), modes)


def seen_where(truth: Product) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the truth between the outermost scan positions, px."""
    geometry = truth.object_.get_geometry()
    y = geometry.map_probe_positions_to_object_y_px(truth.probe_positions)
    x = geometry.map_probe_positions_to_object_x_px(truth.probe_positions)
    rows = np.arange(np.ceil(y.min()), np.floor(y.max()) + 1)
    columns = np.arange(np.ceil(x.min()), np.floor(x.max()) + 1)
    return tuple(np.meshgrid(rows, columns, indexing="ij"))


def correlation(found: Object, truth: Product, shift: tuple[float, float] = (0.0, 0.0)) -> float:
    """Return |Pearson correlation| of the complex object with the truth where the scan saw it; 0 for a flat object.

    The two are laid over each other where Ptychodus' own geometry puts them, and then moved by ``shift`` px.
    """
    rows, columns = seen_where(truth)
    there, here = truth.object_.get_geometry(), found.get_geometry()
    rows_m = there.center_y_m + (rows - (there.height_px - 1) / 2) * there.pixel_height_m
    columns_m = there.center_x_m + (columns - (there.width_px - 1) / 2) * there.pixel_width_m
    y = (rows_m - here.center_y_m) / here.pixel_height_m + (here.height_px - 1) / 2 + shift[0]
    x = (columns_m - here.center_x_m) / here.pixel_width_m + (here.width_px - 1) / 2 + shift[1]
    layer = found.get_layer(0)
    values = [map_coordinates(part, (y, x), order=3, mode="nearest") for part in (layer.real, layer.imag)]
    a = truth.object_.get_layer(0)[rows.astype(int), columns.astype(int)]
    b = values[0] + 1j * values[1]
    a, b = a - a.mean(), b - b.mean()
    power = np.sqrt(np.sum(np.abs(a) ** 2) * np.sum(np.abs(b) ** 2))
    return float(np.abs(np.vdot(a, b)) / power) if np.abs(b).max() > FLAT else 0.0


def best_shift(found: Object, truth: Product, reach: float, step: float) -> tuple[float, float]:
    """Return the shift (y, x), px, that correlates best, on a grid of ``step`` up to ``reach`` both ways."""
    moves = np.arange(-round(reach / step), round(reach / step) + 1) * step
    return max(((y, x) for y in moves for x in moves), key=lambda shift: correlation(found, truth, shift))

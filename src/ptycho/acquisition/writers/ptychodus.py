"""Write the two files of Ptychodus: the product, and the patterns that it was or will be made from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float64, Int
from numpy import ndarray
from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.centring import half_pixel
from ptycho.acquisition.readers.ptychodus import CONVENTION, UNNORMALISED
from ptycho.base.arrays import Object, Positions, Probe
from ptycho.base.atomic import atomic_path
from ptycho.base.blocks import blocks
from ptycho.optics.geometry import Geometry, Lengths, Pair
from ptycho.optics.probe import probe_intensity, probe_modes

COMMENTS = (
    "Written by ptychopinn. The probe is for a Fourier transform without normalisation, as pty-chi's: "
    "abs(fft2(probe * patch))**2 is counts."
)


@dataclass(frozen=True, eq=False)
class Product:
    """What a product of Ptychodus says of a scan.

    Attributes
    ----------
    object_
        (height, width) complex64.
    origin
        (y, x) position of ``object_[0, 0]``, px.
    probe
        (mode, y, x) complex64, sqrt(counts).
    positions
        (position, 2), (y, x) px.
    indexes
        Which frame each position belongs to.
    geometry
        Energy and lengths, all of them.
    losses
        One value an epoch.
    scan_positions
        Positions that the scan says, where ``positions`` are corrected ones; None where they are the scan's own.
    """

    object_: Object
    origin: Float64[ndarray, "2"]
    probe: Probe
    positions: Positions
    indexes: Int[ndarray, " position"]
    geometry: Lengths
    losses: list[float] = field(default_factory=list)
    scan_positions: Positions | None = None


def object_centre(product: Product) -> Pair:
    """Return the middle of a product's object, (y, x) m, where Ptychodus has it: `readers.ptychodus` the other way."""
    middle = product.origin + half_pixel(product.probe.shape[-1]) + (np.array(product.object_.shape) - 1) / 2
    y, x = product.geometry.metres(middle[None])[0]
    return float(y), float(x)


def product_of(scan: Acquisition) -> Product:
    """Return the product that a reconstruction of ``scan`` starts from: its object, or ones where it has none.

    Raises
    ------
    DataError
        Energy, distance or pixel size are not known.
    """
    geometry = (scan.geometry or Geometry()).known(scan.size)
    object_, origin = scan.object_, np.zeros(2)
    if object_ is None:
        origin = np.floor(scan.positions.min(axis=0)) - scan.size // 2
        height, width = (np.ceil(scan.positions.max(axis=0)) - origin).astype(int) + scan.size - scan.size // 2
        object_ = np.ones((height, width), np.complex64)
    return Product(object_, origin, scan.probe, scan.positions, scan.frame_indexes, geometry)


def write_product(path: Path, product: Product) -> None:
    """Write a product as HDF5, whole or not at all; energies under the names of both older and present versions.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    known = product.geometry
    y, x = known.metres(product.positions).T
    centre_y, centre_x = object_centre(product)
    attributes = {
        "name": path.stem,
        "comments": COMMENTS,
        "photon_energy_eV": known.energy,
        "probe_energy_eV": known.energy,
        "detector_object_distance_m": known.distance,
        "probe_photon_count": float(probe_intensity(product.probe).sum()),
        "far_field": True,
        **dict.fromkeys(
            ("exposure_time_s", "mass_attenuation_m2_per_kg", "tomography_angle_deg", "tilt_angle_deg"), 0.0
        ),
        "focus_object_distance_m": 0.0,
    }
    pixel = {"pixel_height_m": known.object_pixel[0], "pixel_width_m": known.object_pixel[1]}
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        file.attrs.update(attributes)
        file["probe_position_indexes"] = product.indexes
        file["probe_position_x_m"], file["probe_position_y_m"] = x, y
        if product.scan_positions is not None:
            y, x = known.metres(product.scan_positions).T
            file["scan_position_x_m"], file["scan_position_y_m"] = x, y
        file["probe"] = unnormalised(product.probe)[None]
        file["probe"].attrs.update({**pixel, CONVENTION: UNNORMALISED})
        stored = file.create_dataset("object", (1, *product.object_.shape), product.object_.dtype)
        for rows, block in blocks(product.object_):
            stored[0, rows] = block
        file["object"].attrs.update({**pixel, "center_x_m": centre_x, "center_y_m": centre_y})
        file["object_layer_spacing_m"] = np.zeros(0)
        file["loss_epochs"] = np.arange(len(product.losses))
        file["loss_values"] = np.asarray(product.losses, np.float64)


def write_diffraction(path: Path, scan: Acquisition) -> None:
    """Write the patterns of a scan in counts as HDF5, whole or not at all.

    Raises
    ------
    DataError
        Energy, distance or pixel size are not known.
    OutputError
        The file can't be written.
    """
    height, width = (scan.geometry or Geometry()).known(scan.size).detector_pixel
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        file["indexes"] = scan.frame_indexes
        file.create_dataset("patterns", data=whole_counts(scan), compression="lzf")
        file["patterns"].attrs.update({"detector_pixel_height_m": height, "detector_pixel_width_m": width})
        file["bad_pixels"] = ~scan.mask


def unnormalised(probe: Probe) -> Probe:
    """Return a probe in sqrt(counts) as one for the Fourier transform without normalisation: P / N."""
    return probe_modes(probe, 1 / probe.shape[-1])


def whole_counts(scan: Acquisition) -> NDArray[Any]:
    """Return the patterns in counts: as they are, or as whole numbers where amplitudes are those of whole numbers."""
    if scan.quantity == "counts":
        return scan.patterns
    counts = scan.counts()
    whole = np.rint(counts)
    return whole.astype(np.uint32) if np.allclose(counts, whole, rtol=1e-5, atol=1e-3) else counts

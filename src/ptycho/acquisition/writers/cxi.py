"""Write CXI files, https://www.cxidb.org/cxi.html, with probe and object where Ptychodus reads them."""

from pathlib import Path

import h5py
import numpy as np

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers.cxi import AXES, DATA, DETECTOR, OBJECT, PROBE, PTYCHODUS, SOURCE, TRANSLATION
from ptycho.acquisition.readers.ptychodus import CONVENTION, UNNORMALISED
from ptycho.acquisition.writers.ptychodus import object_centre, product_of, unnormalised, whole_counts
from ptycho.base.atomic import atomic_path
from ptycho.optics.geometry import ELECTRON_VOLT

VERSION = 160
INVALID = 1


def write_cxi(path: Path, scan: Acquisition) -> None:
    """Write a scan as CXI, whole or not at all.

    The translation is the sample's, in metres, and ``basis_vectors`` state the axes of the standard, rows along -y and
    columns along -x: a position (row, column) on the object is the translation's (y, x).

    Raises
    ------
    DataError
        Energy, distance or pixel size are not known.
    OutputError
        The file can't be written.
    """
    product = product_of(scan)
    known = product.geometry
    metres = known.metres(scan.positions)
    centre_y, centre_x = object_centre(product)
    with atomic_path(path) as partial, h5py.File(partial, "w") as file:
        file["cxi_version"], file["number_of_entries"] = VERSION, 1
        file[f"{SOURCE}/energy"] = known.energy * ELECTRON_VOLT
        file.create_dataset(
            f"{DETECTOR}/data", data=whole_counts(scan), chunks=(1, scan.size, scan.size), compression=1
        )
        file[f"{DETECTOR}/mask"] = np.where(scan.mask, 0, INVALID).astype(np.uint32)
        file[f"{DETECTOR}/distance"] = known.distance
        file[f"{DETECTOR}/y_pixel_size"], file[f"{DETECTOR}/x_pixel_size"] = known.detector_pixel
        file[f"{DETECTOR}/basis_vectors"] = (AXES * np.array(known.detector_pixel)[:, None]).T
        file[TRANSLATION[0]] = np.pad(metres[:, ::-1], ((0, 0), (0, 1)))
        file[DATA[0]], file[TRANSLATION[1]] = h5py.SoftLink(f"/{DETECTOR}/data"), h5py.SoftLink(f"/{TRANSLATION[0]}")
        file[PROBE], file[OBJECT] = unnormalised(scan.probe)[None], product.object_[None]
        file[PROBE].attrs[CONVENTION] = UNNORMALISED
        file[f"{SOURCE}/illumination"] = h5py.SoftLink(f"/{PROBE}")
        for name in ("probe", "object"):
            file[f"{PTYCHODUS}/{name}_pixel_height_m"], file[f"{PTYCHODUS}/{name}_pixel_width_m"] = known.object_pixel
        file[f"{PTYCHODUS}/object_center_y_m"], file[f"{PTYCHODUS}/object_center_x_m"] = centre_y, centre_x
        file[f"{PTYCHODUS}/probe_position_indexes"] = np.arange(scan.n_positions)

"""A reconstruction as the product that Ptychodus opens."""

from pathlib import Path

import numpy as np

from ptycho.assembly.reconstruction import Reconstruction
from ptycho.optics.geometry import Geometry


def write_reconstruction(path: Path, reconstruction: Reconstruction) -> None:
    """Write object, probe and positions in metres as a Ptychodus product, HDF5, whole or not at all.

    Positions are the corrected ones where they were refined, with those of the scan beside them. They carry the
    numbers that the frames have in the scan's own files, so that Ptychodus pairs them again.

    Raises
    ------
    DataError
        Energy, distance or pixel size are not known; pixels are never written as metres.
    OutputError
        The file can't be written.
    """
    geometry = (reconstruction.geometry or Geometry()).known(reconstruction.probe.shape[-1])
    # Importing h5py takes time that a reconstruction in pixels must not pay.
    from ptycho.acquisition.writers.ptychodus import Product, write_product

    corrected = reconstruction.corrected_positions
    n = len(reconstruction.positions)
    product = Product(
        reconstruction.object_,
        reconstruction.origin,
        reconstruction.probe,
        reconstruction.positions if corrected is None else corrected,
        np.arange(n) if reconstruction.indexes is None else reconstruction.indexes,
        geometry,
        reconstruction.history.get("deviance", []),
        None if corrected is None else reconstruction.positions,
    )
    write_product(path, product)

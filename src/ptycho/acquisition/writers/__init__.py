"""Write a scan in a layout that its user's programs read; one module per layout."""

from pathlib import Path

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers.folder import SUFFIX
from ptycho.acquisition.writers.folder import write_folder
from ptycho.acquisition.writers.npz import write_npz
from ptycho.base.errors import OutputError

__all__ = ["files_of", "meaning", "write", "write_npz"]

DIFFRACTION = "diffraction.h5"  # Ptychodus looks for this name beside a product
PTYCHODUS = (".h5", ".hdf5")


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that `write` writes for ``path``.

    Raises
    ------
    OutputError
        Its suffix says no layout, or it has the name of the patterns beside a product.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".cxi", SUFFIX, *PTYCHODUS):
        found = f"ends in {suffix!r}" if suffix else "has no suffix"
        raise OutputError(
            f"{path} {found}; expected .npz, {SUFFIX}, .cxi or .h5 for a scan, which say what to write; rename it"
        )
    if suffix not in PTYCHODUS:
        return (path,)
    if path.name == DIFFRACTION:
        raise OutputError(f"{path} is what the patterns beside a product are called; name the product, as product.h5")
    return path, path.with_name(DIFFRACTION)


def meaning(path: Path) -> str:
    """Return what positions mean in the file that `write` writes for ``path``: whose they are, their unit and sign."""
    if path.suffix.lower() in (".npz", SUFFIX):
        return "positions of the probe on the object, (y, x) along rows and columns, in px"
    if path.suffix.lower() == ".cxi":
        return "translation of the sample, (x, y, 0) in metres, rows along -y and columns along -x"
    return "positions of the probe on the object, x along columns and y along rows, in metres"


def write(path: Path, scan: Acquisition) -> None:
    """Write a scan as its suffix says: .npz ours, .scan our folder, .cxi, .h5 for Ptychodus, diffraction.h5 beside it.

    Raises
    ------
    OutputError
        The suffix says no layout, or a file can't be written.
    DataError
        The layout needs lengths that the scan doesn't have.
    """
    paths = files_of(path)
    if path.suffix.lower() == ".npz":
        write_npz(path, scan)
        return
    if path.suffix.lower() == SUFFIX:
        write_folder(path, scan)
        return
    # Importing h5py takes time that a scan in an npz must not pay.
    from ptycho.acquisition.writers import cxi, ptychodus

    if path.suffix.lower() == ".cxi":
        cxi.write_cxi(path, scan)
        return
    ptychodus.write_product(path, ptychodus.product_of(scan))
    ptychodus.write_diffraction(paths[1], scan)

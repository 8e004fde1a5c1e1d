"""Read a scan from a file: one module per layout, each a plain function from path to acquisition."""

from pathlib import Path

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers import npz, tike
from ptycho.acquisition.readers.archive import open_archive
from ptycho.base.errors import DataError

__all__ = ["read"]

LAYOUTS = ((npz.recognise, npz.from_archive), (tike.recognise, tike.from_archive))


def read(path: Path | str, nphotons: float | None = None) -> Acquisition:
    """Read a scan from a file of any known layout, found by what is in it.

    Parameters
    ----------
    path
        npz or npz.bz2 file.
    nphotons
        Mean counts of a frame, used only when the patterns are amplitudes and neither they nor the file say it.

    Raises
    ------
    DataError
        The file is missing, damaged, of an unknown layout, or holds values that can't be used.
    """
    with open_archive(Path(path)) as archive:
        for recognise, from_archive in LAYOUTS:
            if recognise(archive):
                return from_archive(archive, nphotons)
        raise DataError(
            f"found keys {sorted(archive.keys)}, expected diff3d or diffraction, xcoords, ycoords and "
            "probeGuess; rename or add them"
        )

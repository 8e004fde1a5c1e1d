"""Read a scan from its files: one module per layout, each a recogniser and a plain function from file to parts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.assemble import assemble
from ptycho.acquisition.parts import Parts
from ptycho.acquisition.readers import arrays, cxi, fold_slice, folder, nexus, npz, nsls2, ptychodus, ptyd, slac, tike
from ptycho.acquisition.readers.archive import Archive
from ptycho.acquisition.readers.kinds import NETWORK, RESULT
from ptycho.acquisition.readers.source import Source, open_source, scan_file
from ptycho.base.errors import DataError
from ptycho.base.printable import listed
from ptycho.config.reading import Reading

__all__ = ["LAYOUTS", "Layout", "identify", "read"]


def _alone(path: Path) -> tuple[Path, ...]:
    return ()


@dataclass(frozen=True)
class Layout:
    """One layout of scan files.

    Attributes
    ----------
    name
        As it is known to its users.
    recognise
        Whether an open file has the layout, by its keys.
    read
        From an open file that has it, and the choices of the user, to the parts of the scan that it holds.
    neighbours
        From the path of a file to those that by custom lie beside it and hold the rest of the scan.
    """

    name: str
    recognise: Callable[[Source], bool]
    read: Callable[[Any, Reading], Parts]
    neighbours: Callable[[Path], tuple[Path, ...]] = _alone


# The first that recognises a file reads it: the more special before the more general.
LAYOUTS = (
    Layout("npz of SLAC", slac.recognise, slac.read),
    Layout("folder of PtychoPINN", folder.recognise, npz.read),
    Layout("npz of PtychoPINN", npz.recognise, npz.read),
    Layout("npz of tike", tike.recognise, tike.read),
    Layout("CXI", cxi.recognise, cxi.read, cxi.beside),
    Layout("training data of Ptychodus", ptychodus.recognise_training, ptychodus.read_training),
    Layout(
        "product of Ptychodus", ptychodus.recognise_product, ptychodus.read_product, neighbours=ptychodus.beside_product
    ),
    Layout(
        "diffraction of Ptychodus",
        ptychodus.recognise_diffraction,
        ptychodus.read_diffraction,
        neighbours=ptychodus.beside_diffraction,
    ),
    Layout("fold_slice", fold_slice.recognise, fold_slice.read, fold_slice.neighbours),
    Layout("NSLS-II 3-ID", nsls2.recognise, nsls2.read),
    Layout("ptyd of PtyPy", ptyd.recognise, ptyd.read),
    Layout("NeXus", nexus.recognise, nexus.read, arrays.neighbours),
    Layout("arrays", arrays.recognise, arrays.read, arrays.neighbours),
)


def read(
    path: Path | str, nphotons: float | None = None, reading: Reading | None = None, *, scratch: Path | None = None
) -> Acquisition:
    """Read a scan from files of any known layout, found by what is in them.

    Parameters
    ----------
    path
        File, folder of ours, or folder of Ptychodus with a diffraction.h5 in it.
    nphotons
        Mean counts of a frame, used only when the patterns are amplitudes and neither they, nor the file, nor
        ``reading`` say it.
    reading
        Choices of the user; None for none.
    scratch
        Folder where patterns larger than memory are unpacked or turned, in files that go with them; None to do that in
        memory. Those that can stay as they lie in their file are mapped in either case.

    Raises
    ------
    DataError
        A file is missing, damaged, of an unknown layout, or holds values that can't be used.
    """
    reading, path = reading or Reading(), scan_file(Path(path))
    parts, layout = _parts(path, reading, scratch)
    for companion in reading.companions:
        parts = parts.completed(_parts(companion, reading, scratch)[0])
    if parts.patterns is None or parts.positions is None:
        for neighbour in filter(Path.is_file, layout.neighbours(path)):
            parts = parts.completed(_parts(neighbour, reading, scratch)[0])
    try:
        return assemble(parts, reading, reading.nphotons or nphotons, scratch)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def identify(path: Path | str) -> Layout:
    """Return the layout of a file.

    Raises
    ------
    DataError
        The file is missing, damaged or of an unknown layout.
    """
    with open_source(Path(path)) as source:
        return _layout(source)


def _parts(path: Path, reading: Reading, scratch: Path | None) -> tuple[Parts, Layout]:
    with open_source(path, scratch) as source:
        layout = _layout(source)
        return layout.read(source, reading), layout


def _layout(source: Source) -> Layout:
    for layout in LAYOUTS:
        if layout.recognise(source):
            return layout
    if source.unfollowed:
        raise DataError(source.unfollowed[0])
    if isinstance(source, Archive) and source.kind in (NETWORK, RESULT):
        raise DataError(f"found {source.kind}, expected a scan; give the file of one")
    raise DataError(
        f"found keys {listed(source.keys)}, expected those of a scan ({', '.join(each.name for each in LAYOUTS)}), "
        "such as diff3d, xcoords, ycoords and probeGuess; rename or add them"
    )

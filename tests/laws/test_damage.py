"""Whatever is wrong with a scan file, the answer is one line that names the file, and the key where it is one."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptycho.acquisition.readers import read
from ptycho.base.errors import DataError
from tests.laws.beamlines import BEAMLINES
from tests.laws.layouts import LAYOUTS, known_scan

EVERY = LAYOUTS | BEAMLINES


def spoilt(array: np.ndarray) -> np.ndarray:
    """Return the array with its first value no number."""
    array = np.array(array, complex if array.dtype.kind == "c" else float)
    array[(0,) * array.ndim] = np.nan
    return array


DAMAGE = {
    "missing": lambda array: None,
    "NaN": spoilt,
    "empty": lambda array: array[:0] if array.ndim else np.zeros(0),
    "one less": lambda array: array[:-1] if array.ndim else np.zeros(2),
    "an axis less": lambda array: array[0] if array.ndim else np.zeros((1, 1, 1)),
    "an axis more": lambda array: np.stack([array, array]),
    "text": lambda array: np.array("text", np.bytes_),
    "negative": lambda array: -np.abs(array).astype(float) - 1,
    "zero": lambda array: np.zeros_like(array),
    "huge": lambda array: np.full_like(array, 1e300, dtype=float),
}


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file by key, none for a file of text or of MATLAB 5."""
    if h5py.is_hdf5(path):
        found = {}
        with h5py.File(path, "r") as file:
            file.visititems(lambda key, each: found.update({key: each[()]} if isinstance(each, h5py.Dataset) else {}))
        # MATLAB keeps the halves of complex numbers side by side.
        return {key: each["real"] + 1j * each["imag"] if each.dtype.names else each for key, each in found.items()}
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    return {path.stem: np.load(path)} if path.suffix == ".npy" else {}


def put(path: Path, key: str, array: np.ndarray | None) -> None:
    """Put another array, or nothing, in the place of one."""
    if h5py.is_hdf5(path):
        with h5py.File(path, "r+") as file:
            del file[key]
            if array is not None:
                file[key] = array
    elif path.suffix == ".npy":
        np.save(path, np.zeros(0) if array is None else array)
    else:
        arrays = {name: each for name, each in arrays_of(path).items() if name != key}
        np.savez(path, **(arrays if array is None else arrays | {key: array}))


def answer(path: Path, reading) -> str | None:
    """Return what is said of a file, None where it can be read."""
    try:
        read(path, reading=reading)
    except DataError as error:
        return str(error)
    return None


def is_one_line_naming_a_file(said: str, folder: Path) -> bool:
    return "\n" not in said and said.startswith(str(folder))


@settings(max_examples=60)
@given(layout=st.sampled_from(sorted(EVERY)), damage=st.sampled_from(sorted(DAMAGE)), data=st.data())
def test_no_array_ends_in_another_error(tmp_path_factory, layout, damage, data):
    folder = tmp_path_factory.mktemp("damaged")
    written = EVERY[layout](folder, known_scan())
    path = data.draw(st.sampled_from(sorted(each for each in folder.iterdir() if arrays_of(each))))
    arrays = arrays_of(path)
    key = data.draw(st.sampled_from(sorted(arrays)))
    with np.errstate(all="ignore"):
        put(path, key, DAMAGE[damage](arrays[key]))
    said = answer(written.path, written.reading)
    assert said is None or is_one_line_naming_a_file(said, folder)


@settings(max_examples=30)
@given(layout=st.sampled_from(sorted(EVERY)), share=st.floats(0, 1, exclude_max=True), data=st.data())
def test_no_part_of_a_file_ends_in_another_error(tmp_path_factory, layout, share, data):
    folder = tmp_path_factory.mktemp("cut")
    written = EVERY[layout](folder, known_scan())
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    said = answer(written.path, written.reading)
    # The first lines of a table are a table too, and not every file beside a scan is needed.
    assert (said is None and path != written.path) or is_one_line_naming_a_file(said, folder)


NAMED = {
    "SLAC": ("diffraction", "xcoords_start", "probeGuess", "detector_distance_m"),
    "fold_slice": ("dp", "ppX", "dx", "lambda"),
    "NSLS-II, style 1": ("entry/data/data", "scan/scan_positions", "scan/energy"),
    "NSLS-II, style 2, amplitude": ("diffamp", "points", "lambda_nm", "ccd_pixel_um"),
    "NSLS-II, MATLAB": ("det_data", "pos_xy", "prb", "det_dist"),
    "ptyd": ("chunks/0/data", "chunks/1/positions", "chunks/0/weights", "chunks/1/indices", "meta/psize"),
    "NeXus": ("entry_1/data/data", "entry_1/data/x", "entry_1/instrument_1/beam_1/energy"),
    "npz of any names": ("frames", "positions", "probe", "distance_m"),
    "npy": ("patterns", "positions", "probe"),
}


@pytest.mark.parametrize("damage", ["NaN", "text", "empty"])
@pytest.mark.parametrize(("layout", "key"), [(layout, key) for layout, keys in NAMED.items() for key in keys])
def test_the_key_is_named(tmp_path, layout, key, damage):
    written = EVERY[layout](tmp_path, known_scan())
    path = next(each for each in tmp_path.iterdir() if key in arrays_of(each))
    put(path, key, DAMAGE[damage](arrays_of(path)[key]))
    said = answer(written.path, written.reading)
    assert is_one_line_naming_a_file(said, tmp_path)
    assert key in said

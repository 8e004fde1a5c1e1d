"""Which known layout a file comes nearest to, and what it lacks."""

from collections.abc import Iterable

from ptycho.config.checks import nearest

# Layout -> the keys that a whole file has; of names with "|" between them it has one.
KEYS: dict[str, tuple[str, ...]] = {
    "npz of PtychoPINN": ("diff3d|diffraction", "xcoords", "ycoords", "probeGuess"),
    "folder of PtychoPINN": ("diff3d", "xcoords", "ycoords", "probeGuess"),
    "npz of tike": ("data", "scan", "probe"),
    "CXI": (
        "entry_1/data_1/data|entry_1/instrument_1/detector_1/data",
        "entry_1/sample_1/geometry_1/translation|entry_1/data_1/translation",
    ),
    "training data of Ptychodus": ("patterns", "probe_position_y_px", "probe_position_x_px"),
    "product of Ptychodus": ("probe_position_y_m", "probe_position_x_m", "probe", "object"),
    "diffraction of Ptychodus": ("patterns", "indexes"),
    "npz of SLAC": ("diffraction", "xcoords_start", "ycoords_start", "photon_energy_eV|probe_energy_ev"),
    "fold_slice": ("dp|ppX", "dp|ppY"),
    "NSLS-II 3-ID": ("diffamp|dp|entry/data/data|det_data", "points|scan/scan_positions|pos_xy"),
    "ptyd of PtyPy": ("chunks/0/data", "chunks/0/indices", "chunks/0/positions"),
    "NeXus": ("entry_1/data/data|entry/data/data", "entry_1/data/x|entry/data/x", "entry_1/data/y|entry/data/y"),
    "arrays": ("patterns|frames|intensities|data", "positions|x", "positions|y"),
}
# Names that mean something already, which nobody wrote for another.
KNOWN = {name for whole in KEYS.values() for words in whole for name in words.split("|")} | {"objectGuess"}


def nearest_layout(keys: Iterable[str], recognised: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Return a layout and the keys of it that a file lacks, with those that look alike.

    It is the one that was recognised, or else the one of which the file has the largest part.

    Examples
    --------
    >>> nearest_layout(["diff3d", "xcoords", "ycoords", "probe_guess"])
    ('npz of PtychoPINN', ("probeGuess (did you mean 'probe_guess'?)",))
    """
    found = frozenset(keys)
    unknown = found - KNOWN
    lacking = {name: [words for words in whole if not found & {*words.split("|")}] for name, whole in KEYS.items()}
    name = recognised or min(KEYS, key=lambda name: len(lacking[name]) / len(KEYS[name]))
    return name, tuple(f"{words.replace('|', ' or ')}{nearest(words, unknown)}" for words in lacking[name])

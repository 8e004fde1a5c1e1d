"""Which known layout a file comes nearest to, and what it lacks."""

from collections.abc import Iterable

from ptycho.config.checks import nearest

# Layout -> the keys that a whole file has; of names with "|" between them it has one.
KEYS: dict[str, tuple[str, ...]] = {
    "npz of PtychoPINN": ("diff3d|diffraction", "xcoords", "ycoords", "probeGuess"),
    "npz of tike": ("data", "scan", "probe"),
    "CXI": (
        "entry_1/data_1/data|entry_1/instrument_1/detector_1/data",
        "entry_1/sample_1/geometry_1/translation|entry_1/data_1/translation",
    ),
    "training data of Ptychodus": ("patterns", "probe_position_y_px", "probe_position_x_px"),
    "product of Ptychodus": ("probe_position_y_m", "probe_position_x_m", "probe", "object"),
    "diffraction of Ptychodus": ("patterns", "indexes"),
    "npz of SLAC": ("diffraction", "ycoords_start", "xcoords_start", "probeGuess"),
    "fold_slice": ("dp", "ppY", "ppX"),
    "NSLS-II 3-ID": ("diffamp|dp", "points"),
    "ptyd of PtyPy": ("chunks/0/data", "chunks/0/positions"),
    "NeXus": ("entry_1/data/data|entry/data/data", "entry_1/data/x|entry/data/x", "entry_1/data/y|entry/data/y"),
}


def nearest_layout(keys: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Return the layout of which a file has the largest part, and the keys that it lacks, with those that look alike.

    Examples
    --------
    >>> nearest_layout(["diff3d", "xcoords", "ycoords", "probe_guess"])
    ('npz of PtychoPINN', ("probeGuess (did you mean 'probe_guess'?)",))
    """
    found = frozenset(keys)
    lacking = {name: [words for words in whole if not found & {*words.split("|")}] for name, whole in KEYS.items()}
    name = min(KEYS, key=lambda name: len(lacking[name]) / len(KEYS[name]))
    return name, tuple(f"{words.replace('|', ' or ')}{nearest(words, found)}" for words in lacking[name])

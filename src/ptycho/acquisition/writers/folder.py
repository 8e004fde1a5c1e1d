"""Write a scan as a folder: patterns that are mapped when they are read, all else in an npz, and what binds the two."""

import hashlib
import json
from pathlib import Path

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.readers.folder import ARRAYS, FORMAT, KEY, MANIFEST, PATTERNS, VERSION, sha256_of
from ptycho.acquisition.writers.npz import arrays_of, npy_parts, write_keys
from ptycho.base.atomic import atomic_folder
from ptycho.base.blocks import require_space


def write_folder(path: Path, acquisition: Acquisition) -> None:
    """Write a scan as a folder, whole or not at all, its patterns a block at a time; reading it gives the same back.

    ``patterns.npy`` has the patterns (position, y, x) in their type, ``scan.npz`` all other keys of the documented
    layout, and ``manifest.json`` shape, type and SHA-256 of both files. A folder that is there already is replaced.

    Raises
    ------
    OutputError
        The folder can't be written, or the disk is too full.
    """
    keys = arrays_of(acquisition)
    del keys[KEY]
    with atomic_folder(path) as partial:
        require_space(partial, acquisition.patterns.nbytes + sum(array.nbytes for array in keys.values()))
        digest = _write_patterns(partial / PATTERNS, acquisition)
        write_keys(partial / ARRAYS, keys)
        facts = {
            "format": FORMAT,
            "version": VERSION,
            "patterns": {
                "file": PATTERNS,
                "shape": list(acquisition.patterns.shape),
                "dtype": acquisition.patterns.dtype.str,
                "sha256": digest,
            },
            "arrays": {"file": ARRAYS, "sha256": sha256_of(partial / ARRAYS)},
        }
        (partial / MANIFEST).write_text(json.dumps(facts, indent=2), encoding="utf-8")


def _write_patterns(path: Path, acquisition: Acquisition) -> str:
    """Write the patterns as npy; return the hash of the file."""
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for part in npy_parts(acquisition.patterns):
            digest.update(part)
            stream.write(part)
    return digest.hexdigest()

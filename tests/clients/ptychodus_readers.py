"""Read files with Ptychodus' own readers; a real file because Ptychodus asks for a ``__main__``.

python ptychodus_readers.py ORDERS OUT

ORDERS is a JSON file: a list of [name, "patterns" or "positions", plugin, file]. OUT becomes an npz in which
``NAME/patterns`` are (n, y, x) and ``NAME/positions`` (n, 2), (y, x) in metres.
"""

import json
import sys
from pathlib import Path

import numpy as np
from ptychodus.api.plugins import PluginRegistry


def main(orders: Path, out: Path) -> None:
    """Follow all orders."""
    registry = PluginRegistry.load_plugins()
    readers = {
        "patterns": {plugin.simple_name: plugin.strategy for plugin in registry.diffraction_file_readers},
        "positions": {plugin.simple_name: plugin.strategy for plugin in registry.probe_position_file_readers},
    }
    found = {}
    for name, what, plugin, file in json.loads(orders.read_text()):
        read = readers[what][plugin].read(Path(file))
        found[f"{name}/{what}"] = (
            np.concatenate([array.get_patterns() for array in read])
            if what == "patterns"
            else np.array([[point.y_m, point.x_m] for point in read], float)
        )
    np.savez(out, **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

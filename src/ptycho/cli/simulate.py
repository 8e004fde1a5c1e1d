"""``ptycho simulate``: write a scan whose true object and probe are known."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ptycho.acquisition.writers import write_npz
from ptycho.cli.folders import output_file
from ptycho.cli.parsing import verb_parser
from ptycho.simulation.objects import OBJECTS
from ptycho.simulation.probes import PROBES
from ptycho.simulation.scans import SCANS
from ptycho.simulation.simulate import Simulation, simulate

logger = logging.getLogger(__name__)


def run(argv: Sequence[str]) -> int:
    """Simulate a scan and write it as npz."""
    parser = verb_parser("simulate", "Write a simulated scan, the truth beside it.")
    default = Simulation()
    parser.add_argument("out", type=Path, metavar="OUT.npz", help="file to write")
    for name, known in (("object", OBJECTS), ("probe", PROBES), ("scan", SCANS)):
        choice = getattr(default, name)
        parser.add_argument(f"--{name}", choices=list(known), default=choice, help=f"{', '.join(known)} [{choice}]")
    parser.add_argument("--N", type=int, default=default.N, help=f"side of a pattern, px [{default.N}]")
    parser.add_argument("--positions", type=int, default=default.n_positions, help=f"frames [{default.n_positions}]")
    parser.add_argument(
        "--photons", type=float, default=default.photons, help="mean counts of a frame behind nothing [1e6]"
    )
    parser.add_argument("--overlap", type=float, default=default.overlap, help="of neighbours, of the diameter [0.75]")
    parser.add_argument("--modes", type=int, default=default.n_modes, help="incoherent probe modes [1]")
    parser.add_argument("--background", type=float, default=default.background, help="mean counts added to a pixel [0]")
    parser.add_argument("--dead_pixels", type=int, default=default.n_dead_pixels, help="pixels that read 0 [0]")
    parser.add_argument("--seed", type=int, default=0, help="of every draw [0]")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.npz when it exists")
    asked = parser.read(argv).arguments
    out = output_file(asked.out, overwrite=asked.overwrite)
    choices = Simulation(
        object=asked.object,
        probe=asked.probe,
        scan=asked.scan,
        N=asked.N,
        n_positions=asked.positions,
        photons=asked.photons,
        overlap=asked.overlap,
        n_modes=asked.modes,
        background=asked.background,
        n_dead_pixels=asked.dead_pixels,
    )
    write_npz(out, simulate(choices, np.random.default_rng(asked.seed)))
    logger.info("wrote %s: %d patterns of %d x %d px", out, choices.n_positions, choices.N, choices.N)
    return 0

"""``ptycho simulate``: write a scan whose true object and probe are known."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jsonargparse import Namespace

from ptycho.acquisition.writers import write_npz
from ptycho.base.errors import ConfigError, OutputError
from ptycho.base.printable import counted
from ptycho.cli.folders import output_file
from ptycho.cli.parsing import at_least, verb_parser
from ptycho.config.convert import placeholder
from ptycho.config.flags import reader
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
    for name, kind, value, help_ in (
        ("N", int, default.N, "side of a pattern, px"),
        ("positions", int, default.n_positions, "frames"),
        ("photons", float, default.photons, "mean counts of a frame behind nothing"),
        ("overlap", float, default.overlap, "of neighbours, of the diameter"),
        ("modes", int, default.n_modes, "incoherent probe modes"),
        ("background", float, default.background, "mean counts added to a pixel"),
        ("dead_pixels", int, default.n_dead_pixels, "pixels that read 0"),
        ("seed", int, 0, "of every draw"),
    ):
        flag = f"--{name}"
        parser.add_argument(
            flag, type=reader(flag, kind), default=value, metavar=placeholder(kind), help=f"{help_} [{value:g}]"
        )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.npz when it exists")
    asked = parser.read(argv).arguments
    at_least(asked, seed=0)
    choices = _choices(asked)
    # As NumPy does: readers know a scan by its end.
    named = asked.out if asked.out.suffix else asked.out.with_name(f"{asked.out.name}.npz")
    if named.suffix.lower() != ".npz":
        raise OutputError(f"{named} ends in {named.suffix!r}; expected .npz, which a simulated scan is; rename it")
    out = output_file(named, overwrite=asked.overwrite)
    write_npz(out, simulate(choices, np.random.default_rng(asked.seed)))
    logger.info("wrote %s: %s of %d x %d px", out, counted(choices.n_positions, "pattern"), choices.N, choices.N)
    return 0


def _choices(asked: Namespace) -> Simulation:
    """Return the choices that flags make; a refusal names the flag."""
    try:
        return Simulation(
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
    except ConfigError as error:
        # A message begins with its field, and the flag is called as the field is, without n_.
        raise ConfigError(f"--{str(error).removeprefix('n_')}") from error

"""``ptycho export``: a trained network as one file that other software runs."""

import sys
from collections.abc import Sequence
from pathlib import Path

from ptycho.base.errors import extra_missing
from ptycho.cli.folders import output_file
from ptycho.cli.parsing import verb_parser
from ptycho.config.files import to_dict


def run(argv: Sequence[str]) -> int:
    """Write a trained network in a format of exchange, and compare the file with the network."""
    parser = verb_parser(
        "export", "Write a trained network as ONNX or as a PyTorch program: measured counts in, object patches out."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that `ptycho train` wrote, or its wts.h5.zip")
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write: NAME.onnx or NAME.pt2")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT when it exists")
    asked = parser.read(argv).arguments
    out = output_file(asked.out, overwrite=asked.overwrite)
    try:
        from ptycho_torch.inference.export import CHECKED_GROUPS, TOLERANCE, export
        from ptycho_torch.persistence.bundle import read_bundle
    except ModuleNotFoundError as error:
        raise extra_missing(error.name or "torch", "torch") from error
    bundle = read_bundle(asked.run)
    difference = export(bundle.pinn, out, to_dict(bundle.config.model))
    members, size = bundle.pinn.channels, bundle.config.model.N
    sys.stdout.write(
        f"wrote {out}: counts (group, {members}, {size}, {size}) to patches, real and imag of the same shape, and the "
        f"weight ({size}, {size}) that stitches them; any number of groups\n"
        f"compared with the network on {' and '.join(map(str, CHECKED_GROUPS))} groups: largest difference "
        f"{difference:.1e} of the largest value (at most {TOLERANCE:g} is accepted)\n"
    )
    return 0

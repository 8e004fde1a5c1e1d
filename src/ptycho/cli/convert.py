"""``ptycho convert``: what older software wrote, in our formats."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ptycho.acquisition.checks import require
from ptycho.acquisition.readers import read
from ptycho.base.errors import ConfigError, extra_missing
from ptycho.cli.folders import output_file
from ptycho.cli.parsing import verb_parser
from ptycho.config.checks import number
from ptycho.config.flags import reader
from ptycho.config.old_names import ACTIVATIONS

logger = logging.getLogger(__name__)

AMPLITUDE_ENDS = tuple(dict.fromkeys(ACTIVATIONS.values()))


def run(argv: Sequence[str]) -> int:
    """Write the bundle of an older archive, and say what could not be carried over."""
    parser = verb_parser(
        "convert", "Turn an archive of trained weights that the older software wrote into a bundle of ours."
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="wts.h5.zip of the older software")
    parser.add_argument("new", type=Path, metavar="NEW", help="bundle to write, for `ptycho reconstruct`")
    parser.add_argument("--scan", type=Path, metavar="SCAN", help="scan that the network was trained on: its probe")
    parser.add_argument(
        "--probe_scale",
        type=reader("--probe_scale", float),
        default=4.0,
        metavar="NUMBER",
        help="probe_scale of that training [4]",
    )
    parser.add_argument(
        "--amp_activation",
        choices=AMPLITUDE_ENDS,
        help=f"how the amplitude ends, where OLD does not say it: {', '.join(AMPLITUDE_ENDS)} [sigmoid]",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace NEW when it exists")
    asked = parser.read(argv).arguments
    number(asked, "probe_scale", above=0)
    new = output_file(asked.new, overwrite=asked.overwrite)
    try:
        from ptycho_torch.persistence.bundle import write_bundle
        from ptycho_torch.persistence.migrate import carry_over, choose_activation, photons, read_archive
    except ModuleNotFoundError as error:
        raise extra_missing(error.name or "torch", "torch") from error
    network = read_archive(asked.old)
    if asked.scan is None:
        raise ConfigError(
            f"{asked.old} holds no probe that can be read without running it; expected the scan that the network was "
            f"trained on; type: ptycho convert {asked.old} {new} --scan SCAN"
        )
    activation = choose_activation(network, asked.amp_activation)
    scan = read(asked.scan, nphotons=photons(network))
    for finding in require(scan):
        logger.warning("%s", finding)
    pinn, config = carry_over(network, scan, probe_scale=asked.probe_scale, amp_activation=activation)
    config.train_data_file = asked.scan
    write_bundle(new, pinn, config)
    model = config.model
    sys.stdout.write(
        f"wrote {new}: a cnn network of {model.N} x {model.N} px patterns, gridsize {model.gridsize}, n_filters_scale "
        f"{model.n_filters_scale}, probe_big {model.probe_big}, pad_object {model.pad_object}, amp_activation "
        f"{model.amp_activation}; probe and counts are those of {asked.scan}\nnot carried over:\n"
    )
    sys.stdout.writelines(f"- {item}\n" for item in network.left)
    return 0

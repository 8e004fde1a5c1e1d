"""``ptycho convert``: a scan in another layout, or what older software trained, in our formats."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.checks import require
from ptycho.acquisition.readers import identify, read
from ptycho.acquisition.readers.folder import SUFFIX
from ptycho.acquisition.writers import files_of, meaning, write
from ptycho.base.errors import ConfigError, extra_missing
from ptycho.base.printable import counted
from ptycho.cli.folders import output_file, output_scan, scratch_folder
from ptycho.cli.parsing import verb_parser
from ptycho.config.checks import number
from ptycho.config.flags import reader
from ptycho.config.old_names import ACTIVATIONS
from ptycho.config.reading import Reading

logger = logging.getLogger(__name__)

ARCHIVE = ".zip"
AMPLITUDE_ENDS = tuple(dict.fromkeys(ACTIVATIONS.values()))


def run(argv: Sequence[str]) -> int:
    """Write a scan in another layout, or the bundle of an older archive, and say what was made of it."""
    parser = verb_parser(
        "convert",
        "Write a scan of any layout as OUT.npz (ours), OUT.scan (our folder, for scans larger than memory), OUT.cxi or "
        "OUT.h5 (a product of Ptychodus, with diffraction.h5 beside it), or an archive of trained weights of the older "
        "software as OUT.zip, a bundle of ours.",
    )
    parser.add_argument("source", type=Path, metavar="IN", help="scan, or wts.h5.zip of the older software")
    parser.add_argument("target", type=Path, metavar="OUT", help="what to write, as its suffix says")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT when it exists")
    weights = parser.add_argument_group("Archives of trained weights")
    weights.add_argument("--scan", type=Path, metavar="SCAN", help="scan that the network was trained on: its probe")
    weights.add_argument(
        "--probe_scale",
        type=reader("--probe_scale", float),
        default=4.0,
        metavar="NUMBER",
        help="probe_scale of that training [4]",
    )
    weights.add_argument(
        "--amp_activation",
        choices=AMPLITUDE_ENDS,
        help=f"how the amplitude ends, where IN does not say it: {', '.join(AMPLITUDE_ENDS)} [sigmoid]",
    )
    parser.add_config(Reading)
    given = parser.read(argv)
    asked, reading = given.arguments, given.config(Reading)
    (output_scan if asked.target.suffix.lower() == SUFFIX else output_file)(asked.target, overwrite=asked.overwrite)
    said = _network(asked, reading) if asked.target.suffix == ARCHIVE else _scan(asked, reading)
    sys.stdout.write(f"{said}\n")
    return 0


def _scan(asked: Namespace, reading: Reading) -> str:
    """Write a scan in the layout of ``asked.target``; return in one line what was read, decided and written."""
    if asked.scan or asked.amp_activation:
        raise ConfigError(
            f"--scan and --amp_activation are for trained weights, which become a {ARCHIVE}, and OUT is "
            f"{asked.target}; leave them out, or name OUT wts.h5.zip"
        )
    paths = files_of(asked.target)
    for path in paths[1:]:
        output_file(path, overwrite=asked.overwrite)
    with scratch_folder(asked.target.parent) as scratch:
        layout, scan = identify(asked.source).name, read(asked.source, reading=reading, scratch=scratch)
        for finding in require(scan):
            logger.warning("%s", finding)
        write(asked.target, scan)
    facts = (
        f"{counted(scan.n_positions, 'pattern')} of {scan.size} x {scan.size} px",
        scan.origin,
        _place(scan),
        *scan.notes,
    )
    return (
        f"read {asked.source} ({layout}): {'; '.join(facts)}; wrote {' and '.join(map(str, paths))}: "
        f"{meaning(asked.target)}"
    )


def _place(scan: Acquisition) -> str:
    """Return the extent of the positions, and the pixel where it is known."""
    height, width = scan.positions.max(axis=0) - scan.positions.min(axis=0)
    pixel = scan.geometry and scan.geometry.object_pixel
    unit = "of unknown size" if not pixel else f"of {pixel[0] * 1e9:.4g} x {pixel[1] * 1e9:.4g} nm (y, x)"
    return f"positions over {height:.4g} x {width:.4g} px (y, x) {unit}"


def _network(asked: Namespace, reading: Reading) -> str:
    """Write the bundle of an older archive; return what it is, and what could not be carried over."""
    number(asked, "probe_scale", above=0)
    source, target = asked.source, asked.target
    try:
        from ptycho_torch.persistence.bundle import write_bundle
        from ptycho_torch.persistence.migrate import carry_over, choose_activation, photons, read_archive
    except ModuleNotFoundError as error:
        raise extra_missing(error.name or "torch", "torch") from error
    network = read_archive(source)
    if asked.scan is None:
        raise ConfigError(
            f"{source} holds no probe that can be read without running it; expected the scan that the network was "
            f"trained on; type: ptycho convert {source} {target} --scan SCAN"
        )
    activation = choose_activation(network, asked.amp_activation)
    scan = read(asked.scan, nphotons=photons(network), reading=reading)
    for finding in require(scan):
        logger.warning("%s", finding)
    pinn, config = carry_over(network, scan, probe_scale=asked.probe_scale, amp_activation=activation)
    config.train_data_file = asked.scan
    write_bundle(target, pinn, config)
    model = config.model
    left = "".join(f"\n- {item}" for item in network.left)
    return (
        f"wrote {target}: a cnn network of {model.N} x {model.N} px patterns, gridsize {model.gridsize}, "
        f"n_filters_scale {model.n_filters_scale}, probe_big {model.probe_big}, pad_object {model.pad_object}, "
        f"amp_activation {model.amp_activation}; probe and counts are those of {asked.scan}\nnot carried over:{left}"
    )

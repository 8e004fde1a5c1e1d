"""``ptycho inspect``: say what a scan file holds, what was guessed of it, and whether it can be used."""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.checks import Finding, check
from ptycho.acquisition.readers import identify, read
from ptycho.acquisition.readers.nearest import nearest_layout
from ptycho.acquisition.readers.source import open_source
from ptycho.acquisition.summary import Summary, summary
from ptycho.base.errors import DataError, PtychoError
from ptycho.base.printable import printable
from ptycho.cli.folders import output_file
from ptycho.cli.parsing import reading_of, verb_parser
from ptycho.config.model import ModelConfig
from ptycho.config.reading import Reading
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_model
from ptycho.optics.geometry import Geometry
from ptycho.report.scan_picture import save_scan_picture
from ptycho.report.tables import text_table

logger = logging.getLogger(__name__)

REMARKS = {"refuse": "refused", "warn": "warning"}


@dataclass(frozen=True)
class Inspection:
    """What is known of a file; its fields are the JSON of this verb.

    Attributes
    ----------
    file, keys, layout
        The file, shape and dtype of each of its arrays, and the layout that was recognised, None for none.
    error
        Why it can't be read; None when it can.
    nearest, missing
        Where it can't be read: the layout that it comes nearest to, and the keys that it lacks for it.
    scan, findings, usable
        The figures of the scan, None where it is refused; the remarks on it; whether it can be used.
    training, no_forecast
        Forecast of a training with the defaults, or why there is none.
    """

    file: str
    keys: dict[str, dict[str, Any]]
    layout: str | None
    error: str | None = None
    nearest: str | None = None
    missing: tuple[str, ...] = ()
    scan: Summary | None = None
    findings: tuple[Finding, ...] = ()
    usable: bool = False
    training: dict[str, Any] | None = None
    no_forecast: str | None = None


def run(argv: Sequence[str]) -> int:
    """Describe a file; return 0 when the scan can be used and 2 when it is refused."""
    parser = verb_parser("inspect", "Say what a scan file holds, what was guessed of it, and whether it can be used.")
    parser.add_argument("file", type=Path, metavar="FILE", help="scan")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="draw patterns, counts, positions and probe")
    parser.add_argument("--overwrite", action="store_true", help="replace the picture when it exists")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    parser.add_reading()
    asked = parser.read(argv).arguments
    reading = reading_of(asked)
    if asked.picture:
        output_file(asked.picture, overwrite=asked.overwrite)
    found, scan = inspect(asked.file, reading)
    if asked.picture and scan is not None:
        save_scan_picture(asked.picture, scan, f"{asked.file.name}: {found.layout}{_turned(reading)}")
        logger.info("wrote %s", asked.picture)
    sys.stdout.write(json.dumps(asdict(found), indent=2) + "\n" if asked.json else _text(found))
    if found.error is not None:
        raise DataError(found.error)
    return 0 if found.usable else 2


def inspect(file: Path, reading: Reading) -> tuple[Inspection, Acquisition | None]:
    """Return what is known of a file, and the scan where it can be used.

    Raises
    ------
    DataError
        The file is missing, damaged, or of no kind that holds arrays.
    """
    with open_source(file) as source:
        keys = {key: {"shape": shape, "dtype": dtype} for key, (shape, dtype) in source.headers().items()}
    layout = None
    try:
        layout = identify(file).name
        scan = read(file, reading=reading)
    except DataError as error:
        name, missing = nearest_layout(keys, layout) if keys else (None, ())
        return Inspection(str(file), keys, layout, str(error), nearest=name, missing=missing), None
    findings = check(scan)
    if any(finding.level == "refuse" for finding in findings):
        return Inspection(str(file), keys, layout, findings=findings), None
    training, no_forecast = _forecast(scan)
    return (
        Inspection(
            str(file),
            keys,
            layout,
            scan=summary(scan),
            findings=findings,
            usable=True,
            training=training,
            no_forecast=no_forecast,
        ),
        scan,
    )


def _forecast(scan: Acquisition) -> tuple[dict[str, Any] | None, str | None]:
    """Return device, patterns_per_second, minutes and gibibytes of a training with the defaults, or why none can be."""
    if find_spec("torch") is None:
        return None, 'torch is not installed; pip install "ptychopinn[torch]"'
    config = TrainingConfig(ModelConfig(N=scan.size))
    try:
        validate_model(config.model)
        from ptycho_torch.training.estimate import estimate

        return asdict(estimate(scan, config)), None
    except PtychoError as error:
        return None, str(error)


def _text(found: Inspection) -> str:
    keys = [[key, str(header["shape"]), header["dtype"]] for key, header in found.keys.items()]
    parts = [f"{printable(found.file)}: {found.layout or 'no known layout'}"]
    if keys:
        parts.append(text_table(["key", "shape", "dtype"], keys))
    if found.nearest and found.missing:
        parts.append(f"nearest layout: {found.nearest}; it lacks {', '.join(found.missing)}")
    if found.scan is not None:
        parts += [text_table(["", "found"], _rows(found.scan)), _notes(found.scan)]
    if found.error is None:
        remarks = [f"{REMARKS[finding.level]}: {finding}" for finding in found.findings]
        parts.append("\n".join(remarks) or "nothing to complain about")
    if found.training is not None:
        parts.append(
            f"training with the defaults, by a trial on {found.training['device']}: "
            f"{found.training['patterns_per_second']:.0f} patterns/s, {found.training['minutes']:.1f} min, "
            f"{found.training['gibibytes']:.1f} GiB of memory"
        )
    if found.no_forecast is not None:
        parts.append(f"no forecast of training: {found.no_forecast}")
    return "\n\n".join(parts) + "\n"


def _notes(seen: Summary) -> str:
    return "\n".join(["decided by the reader:", *(f"- {printable(note)}" for note in (seen.origin, *seen.notes))])


def _rows(seen: Summary) -> list[list[str]]:
    refers = "none" if seen.object_shape is None else f"{seen.object_shape[0]} x {seen.object_shape[1]} px"
    quantity = "counts" if seen.quantity == "counts" else f"amplitude; counts = ({seen.count_scale:.6g} value)^2"
    apart = f"a gap of {seen.gap:.2f} px" if seen.gap else f"{seen.overlap:.2f} of the probe diameter"
    return [
        ["patterns", f"{seen.n_positions} of {seen.size} x {seen.size} px, {seen.dtype}"],
        ["quantity", quantity],
        ["counts in a frame", f"{seen.counts_min:.4g} to {seen.counts_max:.4g}, median {seen.counts_median:.4g}"],
        ["centre of the pattern", f"({seen.centre[0]:.1f}, {seen.centre[1]:.1f}) px (y, x)"],
        ["bad pixels", str(seen.n_bad_pixels)],
        *_geometry(seen.geometry or Geometry()),
        ["extent of the scan", _extent(seen)],
        ["repeated positions", str(seen.n_duplicates)],
        ["step, overlap", f"{seen.step:.2f} px, {apart}"],
        ["probe", f"{seen.probe_modes} mode(s), {seen.probe_diameter:.1f} px wide, {seen.probe_power:.4g} counts"],
        ["true or reference object", refers],
    ]


def _geometry(known: Geometry) -> list[list[str]]:
    unknown = "not stated"
    pixels = {"detector pixel": (known.detector_pixel, 1e6, "µm"), "object pixel": (known.object_pixel, 1e9, "nm")}
    return [
        ["energy", unknown if known.energy is None else f"{known.energy / 1e3:.5g} keV"],
        ["distance", unknown if known.distance is None else f"{known.distance:.5g} m"],
        *(
            [name, unknown if pair is None else f"{pair[0] * scale:.5g} x {pair[1] * scale:.5g} {unit} (y, x)"]
            for name, (pair, scale, unit) in pixels.items()
        ),
    ]


def _extent(seen: Summary) -> str:
    text = f"{seen.extent[0]:.1f} x {seen.extent[1]:.1f} px (y, x)"
    if seen.geometry is None or seen.geometry.object_pixel is None:
        return text
    height, width = (px * pixel * 1e6 for px, pixel in zip(seen.extent, seen.geometry.object_pixel, strict=True))
    return f"{text}, {height:.4g} x {width:.4g} µm"


def _turned(reading: Reading) -> str:
    """Return what was asked to be turned, for the headline of a picture."""
    return f", {', '.join(reading.turns)}" if reading.turns else ""

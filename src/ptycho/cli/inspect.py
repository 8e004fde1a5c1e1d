"""``ptycho inspect``: say what a scan file holds and whether it can be used."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.checks import Finding, check
from ptycho.acquisition.readers import read
from ptycho.acquisition.readers.source import open_source
from ptycho.acquisition.summary import Summary, summary
from ptycho.cli.parsing import verb_parser
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.report.tables import text_table


def run(argv: Sequence[str]) -> int:
    """Describe a file; return 0 when the scan can be used and 2 when it is refused."""
    parser = verb_parser("inspect", "Say what a scan file holds and whether it can be used.")
    parser.add_argument("file", type=Path, metavar="FILE", help="scan")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    asked = parser.read(argv).arguments
    with open_source(asked.file) as source:
        keys = source.headers()
    scan = read(asked.file)
    findings = check(scan)
    refused = any(finding.level == "refuse" for finding in findings)
    seen = None if refused else summary(scan)
    forecast = None if refused or scan.n_positions < 2 else _forecast(scan)
    if asked.json:
        described = {
            "keys": {key: {"shape": shape, "dtype": dtype} for key, (shape, dtype) in keys.items()},
            "scan": None if seen is None else asdict(seen),
            "findings": [asdict(finding) for finding in findings],
            "usable": not refused,
            "training": forecast,
        }
        sys.stdout.write(json.dumps(described, indent=2) + "\n")
    else:
        sys.stdout.write(_text(keys, seen, findings, forecast))
    return 2 if refused else 0


def _forecast(scan: Acquisition) -> dict[str, Any] | None:
    """Return device, patterns_per_second, minutes and gibibytes of a training with the defaults; None without torch."""
    if find_spec("torch") is None:
        return None
    from ptycho_torch.training.estimate import estimate

    return asdict(estimate(scan, TrainingConfig(ModelConfig(N=scan.size))))


def _text(
    keys: dict[str, tuple[tuple[int, ...], str]],
    seen: Summary | None,
    findings: Sequence[Finding],
    forecast: dict[str, Any] | None,
) -> str:
    parts = [text_table(["key", "shape", "dtype"], [[key, str(shape), dtype] for key, (shape, dtype) in keys.items()])]
    if seen is not None:
        parts.append(text_table(["", "found"], _rows(seen)))
    remarks = {"refuse": "refused", "warn": "warning"}
    remarked = [f"{remarks[finding.level]}: {finding}" for finding in findings]
    parts.append("\n".join(remarked) or "nothing to complain about")
    if forecast is not None:
        parts.append(
            f"training with the defaults, by a trial on {forecast['device']}: {forecast['patterns_per_second']:.0f} "
            f"patterns/s, {forecast['minutes']:.1f} min, {forecast['gibibytes']:.1f} GiB of memory"
        )
    elif seen is not None and seen.n_positions > 1:
        parts.append('no forecast of training: torch is not installed; pip install "ptychopinn[torch]"')
    return "\n\n".join(parts) + "\n"


def _rows(seen: Summary) -> list[list[str]]:
    refers = "none" if seen.object_shape is None else f"{seen.object_shape[0]} x {seen.object_shape[1]} px"
    return [
        ["patterns", f"{seen.n_positions} of {seen.size} x {seen.size} px, {seen.dtype}"],
        ["quantity", seen.origin],
        ["counts in a frame", f"{seen.counts_min:.4g} to {seen.counts_max:.4g}, median {seen.counts_median:.4g}"],
        ["centre of the pattern", f"({seen.centre[0]:.1f}, {seen.centre[1]:.1f}) px (y, x)"],
        ["bad pixels", str(seen.n_bad_pixels)],
        ["extent of the scan", f"{seen.extent[0]:.1f} x {seen.extent[1]:.1f} px (y, x)"],
        ["repeated positions", str(seen.n_duplicates)],
        ["step, overlap", f"{seen.step:.2f} px, {seen.overlap:.2f} of the probe diameter"],
        ["probe", f"{seen.probe_modes} mode(s), {seen.probe_diameter:.1f} px wide, {seen.probe_power:.4g} counts"],
        ["true or reference object", refers],
    ]

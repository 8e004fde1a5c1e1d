"""``ptycho compare``: score a reconstruction against a reference."""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ptycho.assembly.reference import read_reconstruction, read_reference
from ptycho.cli.folders import output_file
from ptycho.cli.parsing import verb_parser
from ptycho.metrics.summary import Comparison, compare
from ptycho.report.html.comparison import save_comparison_page
from ptycho.report.tables import text_table

logger = logging.getLogger(__name__)

LEAST_SHARED = 0.5
LEAST_CORRELATION = 0.3
LARGEST_SUMMARY = 2**25  # bytes
# Of summary.json, what tells two runs apart beside their settings.
NUMBERS = ("data", "deviance", "held_out_deviance", "r_factor", "iterations", "n_positions", "device", "commands")
# Field of a comparison -> its name in the table.
ROWS = {
    "amplitude_psnr": "amplitude PSNR, peak 1 (dB)",
    "phase_psnr": "phase PSNR, peak 1 rad (dB)",
    "amplitude_ssim": "amplitude SSIM",
    "phase_ssim": "phase SSIM",
    "amplitude_pearson": "amplitude Pearson",
    "phase_pearson": "phase Pearson",
    "complex_nrmse": "complex NRMSE",
    "frc_half": "FRC falls below 1/2 at (of Nyquist)",
    "frc_half_bit": "FRC falls below half-bit at (of Nyquist)",
    "frc_low": "lowest FRC up to 0.3 of Nyquist",
    "shared": "pixels that both know, of the smaller field",
    "amplitude_std": "amplitude, standard deviation",
    "reference_amplitude_std": "  of the reference",
    "phase_std": "phase, standard deviation (rad)",
    "reference_phase_std": "  of the reference (rad)",
}


def run(argv: Sequence[str], program: str = "ptycho compare") -> int:
    """Print how well a reconstruction agrees with a reference; ``program`` is what the user typed."""
    parser = verb_parser(
        "compare", "Score a reconstruction against a reference, after removing what physics leaves free."
    )
    parser.prog = program
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="folder of `ptycho reconstruct`, or its reconstruction.npz"
    )
    parser.add_argument(
        "reference",
        type=Path,
        metavar="REFERENCE",
        help="scan of ours (npz or .scan) with objectGuess, or another reconstruction",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object with all curves, for programs")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page that shows both, and their difference")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE")
    asked = parser.read(argv).arguments
    if asked.html:
        output_file(asked.html, overwrite=asked.overwrite)
    reference = read_reference(asked.reference)
    found = compare(
        read_reconstruction(asked.out), reference.object_, reference.origin, reference_coverage=reference.coverage
    )
    warnings = doubts(found)
    for doubt in warnings:
        logger.warning("%s", doubt)
    if asked.html:
        names = (str(asked.out), str(asked.reference))
        summaries = (_summary(asked.out), _summary(asked.reference))
        scores = {label.strip(): f"{getattr(found, field):.4g}" for field, label in ROWS.items()}
        save_comparison_page(asked.html, found, names, summaries, scores, warnings)
        logger.info("wrote %s", asked.html)
    sys.stdout.write(json.dumps(found.as_dict(), indent=2) if asked.json else table({"value": found}))
    sys.stdout.write("\n")
    return 0


def doubts(found: Comparison) -> list[str]:
    """Return reasons to think that two results are not of the same place of the same sample, as lines for a user."""
    lines = []
    if found.shared < LEAST_SHARED:
        lines.append(
            f"the two share {100 * found.shared:.0f} % of the smaller field only; the scores say nothing of the rest; "
            "compare results of the same scan"
        )
    if max(found.amplitude_pearson, found.phase_pearson) < LEAST_CORRELATION:
        lines.append(
            f"amplitudes correlate by {found.amplitude_pearson:.2f} and phases by {found.phase_pearson:.2f} only: "
            "different samples or places, or one result failed; compare results of the same scan"
        )
    return lines


def _summary(path: Path) -> dict[str, Any]:
    """Return what summary.json beside a reconstruction says of its run; nothing where there is none to read."""
    file = (path if path.is_dir() else path.parent) / "summary.json"
    if not file.is_file() or file.stat().st_size > LARGEST_SUMMARY:
        return {}
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        logger.warning("%s can't be read; the page goes without the settings in it", file)
        return {}
    kept = ("settings", "versions", *NUMBERS)
    return {name: found[name] for name in kept if name in found} if isinstance(found, dict) else {}


def table(comparisons: Mapping[str, Comparison]) -> str:
    """Return the scores of several comparisons, one a column."""
    rows = [[label, *(getattr(found, field) for found in comparisons.values())] for field, label in ROWS.items()]
    return text_table(["", *comparisons], rows)

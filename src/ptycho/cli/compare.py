"""``ptycho compare``: score a reconstruction against a reference."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ptycho.assembly.reference import read_reconstruction, read_reference
from ptycho.cli.parsing import verb_parser
from ptycho.metrics.summary import Comparison, compare
from ptycho.report.tables import text_table

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
        "reference", type=Path, metavar="REFERENCE", help="npz with objectGuess, or another reconstruction"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object with all curves, for programs")
    asked = parser.read(argv).arguments
    reference = read_reference(asked.reference)
    found = compare(
        read_reconstruction(asked.out), reference.object_, reference.origin, reference_coverage=reference.coverage
    )
    sys.stdout.write(json.dumps(found.as_dict(), indent=2) if asked.json else table({"value": found}))
    sys.stdout.write("\n")
    return 0


def table(comparisons: Mapping[str, Comparison]) -> str:
    """Return the scores of several comparisons, one a column."""
    rows = [[label, *(getattr(found, field) for found in comparisons.values())] for field, label in ROWS.items()]
    return text_table(["", *comparisons], rows)

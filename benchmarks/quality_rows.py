"""From measured rows to medians, worst seeds and verdicts: the part of the benchmark that decides what is shown."""

import csv
import io
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ptycho.report.tables import text_table

# Score -> its heading. Scores where less is better are named below; of a spread neither direction is better.
SCORES = {
    "complex_nrmse": "error",
    "amplitude_psnr": "amp dB",
    "phase_psnr": "phase dB",
    "amplitude_ssim": "amp SSIM",
    "phase_ssim": "phase SSIM",
    "amplitude_pearson": "amp r",
    "phase_pearson": "phase r",
    "frc_half": "FRC .5",
    "frc_half_bit": "FRC 1/2 bit",
    "phase_frc_half": "phase FRC .5",
    "frc_of_limit": "FRC/max",
    "amplitude_spread": "amp std/true",
    "phase_spread": "phase std/true",
    "amplitude_below_likelihood": "amp below ML",
    "phase_below_likelihood": "phase below ML",
    "amplitude_below_bound": "amp below bound",
    "phase_below_bound": "phase below bound",
    "amplitude_covered": "amp in 1 sd",
    "phase_covered": "phase in 1 sd",
    "amplitude_cover_error": "amp off .68",
    "phase_cover_error": "phase off .68",
    "position_error": "positions px",
    "probe_error": "probe error",
    "r_factor": "R",
    "iterations": "its",
    "training_seconds": "train s",
    "seconds": "s",
    "cpu_seconds": "CPU s",
    "cpu_share": "CPU s/pty-chi's",
}
LESS_IS_BETTER = frozenset(
    {
        "complex_nrmse",
        "amplitude_below_likelihood",
        "phase_below_likelihood",
        "amplitude_below_bound",
        "phase_below_bound",
        "amplitude_cover_error",
        "phase_cover_error",
        "position_error",
        "probe_error",
        "r_factor",
        "iterations",
        "training_seconds",
        "seconds",
        "cpu_seconds",
        "cpu_share",
    }
)
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Row:
    """What one method made of one scan with one seed.

    Attributes
    ----------
    case, object_, method
        What was reconstructed (the object that the network learnt from, or one that it had not seen) and how.
    seed
        Of the object, the noise and the weights of the network.
    machine
        Where.
    scores
        Names in ``SCORES`` -> value; what could not be measured is left out.
    """

    case: str
    object_: str
    method: str
    seed: int
    machine: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Headline:
    """A goal, and the rows that say whether it is met.

    Attributes
    ----------
    claim
        The goal in words.
    case, object_, method, score
        What is measured.
    goal
        Least value that meets it, or the largest where less is better.
    minus
        Method whose score is subtracted, seed by seed; null for none.
    every_seed
        Whether the worst seed must meet it, not only the median.
    n_seeds
        Seeds that a verdict needs; with fewer it says so.
    """

    claim: str
    case: str
    object_: str
    method: str
    score: str
    goal: float
    minus: str | None = None
    every_seed: bool = False
    n_seeds: int = 5

    def values(self, rows: Iterable[Row]) -> list[float]:
        """Return the measured values, one a seed."""
        found = self._by_seed(rows, self.method)
        if self.minus is None:
            return list(found.values())
        less = self._by_seed(rows, self.minus)
        return [value - less[seed] for seed, value in found.items() if seed in less]

    def verdict(self, rows: Sequence[Row]) -> list[str | float]:
        """Return the line of the table: claim, case, what, goal, median, worst, seeds, verdict."""
        values = self.values(rows)
        what = f"{self.method}: {SCORES[self.score]}" + (f" less that of {self.minus}" if self.minus else "")
        sign = "<=" if self.score in LESS_IS_BETTER else ">="
        line = [self.claim, f"{self.case}, {self.object_}", what, f"{sign} {self.goal:g}"]
        if not values:
            return [*line, "-", "-", "0", NOT_MEASURED]
        median, worst = statistics.median(values), worst_of(self.score, values)
        judged = worst if self.every_seed else median
        met = judged <= self.goal if self.score in LESS_IS_BETTER else judged >= self.goal
        verdict = "met" if met else "NOT met"
        if len(values) < self.n_seeds:
            verdict += f" (needs {self.n_seeds} seeds)"
        return [*line, f"{median:.4g}", f"{worst:.4g}", str(len(values)), verdict]

    def _by_seed(self, rows: Iterable[Row], method: str) -> dict[int, float]:
        return {
            row.seed: row.scores[self.score]
            for row in rows
            if (row.case, row.object_, row.method) == (self.case, self.object_, method) and self.score in row.scores
        }


def worst_of(score: str, values: Sequence[float]) -> float:
    """Return the worst of the values."""
    return max(values) if score in LESS_IS_BETTER else min(values)


def medians(rows: Sequence[Row]) -> list[tuple[tuple[str, str, str], int, dict[str, float], dict[str, float]]]:
    """Return (case, object, method), number of seeds, medians and worst values, in the order of first appearance."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.case, row.object_, row.method), []).append(row)
    table = []
    for key, members in groups.items():
        values = {name: [row.scores[name] for row in members if name in row.scores] for name in SCORES}
        measured = {name: found for name, found in values.items() if found}
        table.append(
            (
                key,
                len(members),
                {name: statistics.median(found) for name, found in measured.items()},
                {name: worst_of(name, found) for name, found in measured.items()},
            )
        )
    return table


def tables(rows: Sequence[Row], headlines: Sequence[Headline]) -> str:
    """Return the medians, the worst seeds and the headlines as text."""
    summary = medians(rows)
    cases = list(dict.fromkeys(key[0] for key, *_ in summary))
    parts = []
    for case in cases:
        members = [entry for entry in summary if entry[0][0] == case]
        names = [name for name in SCORES if any(name in middle for _, _, middle, _ in members)]
        for title, which in (("medians", 2), ("worst seed", 3)):
            lines = [
                [key[1], key[2], n, *(entry.get(name) for name in names)]
                for (key, n, *found) in members
                for entry in [found[which - 2]]
            ]
            headers = ["object", "method", "seeds", *(SCORES[name] for name in names)]
            parts.append(f"{case}: {title}\n{text_table(headers, lines)}")
    headers = ["goal", "scan", "measured", "goal is", "median", "worst", "seeds", "verdict"]
    parts.append("headlines\n" + text_table(headers, [headline.verdict(rows) for headline in headlines]))
    return "\n\n".join(parts) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Return every raw row as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "object", "method", "seed", "machine", *SCORES])
    for row in rows:
        scores = [row.scores.get(name, "") for name in SCORES]
        writer.writerow([row.case, row.object_, row.method, row.seed, row.machine, *scores])
    return text.getvalue()


def as_json(rows: Sequence[Row]) -> str:
    """Return every raw row as JSON, which `from_json` reads."""
    return json.dumps([asdict(row) for row in rows], indent=0)


def from_json(text: str) -> list[Row]:
    """Return the rows that `as_json` wrote."""
    found: list[dict[str, Any]] = json.loads(text)
    return [Row(**entry) for entry in found]

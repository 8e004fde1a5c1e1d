"""``python -m tests.fuzz --runs 100000 --seed 0``: read hostile files with every reader, and print what became of them.

Children do the reading: one that takes too long is ended, and one that dies takes nobody with it. Inputs that came to
grief are kept in ``--findings``; ``--replay TARGET INDEX`` reads one again, here, with its traceback.
"""

import argparse
import json
import selectors
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import files_of

PATIENCE = 10.0  # seconds that one input may take
STARTING = 120.0  # seconds that a child may take to begin
FINDINGS = ("traceback", "message", "outside", "memory", "hang", "crash")


@dataclass
class Tally:
    """What became of the inputs of one target."""

    kinds: Counter[str] = field(default_factory=Counter)
    peak: int = 0
    seconds: float = 0.0


def main() -> int:
    """Run, or replay one input; return 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TARGETS, help="one target alone")
    parser.add_argument(
        "--findings", type=Path, default=Path("fuzz_findings"), help="folder for inputs that came to grief"
    )
    parser.add_argument("--replay", nargs=2, metavar=("TARGET", "INDEX"), help="read one input again")
    asked = parser.parse_args()
    if asked.replay:
        return _replay(asked.replay[0], asked.seed, int(asked.replay[1]))
    names = [asked.only] if asked.only else list(TARGETS)
    whole = sum(TARGETS[name].share for name in names)
    tallies = {}
    for name in names:
        tallies[name] = _run(name, asked.seed, round(asked.runs * TARGETS[name].share / whole), asked.findings)
        sys.stderr.write(f"{_row(name, tallies[name])}\n")
    sys.stdout.write(f"{_table(tallies, asked.seed)}\n")
    return int(any(tally.kinds[kind] for tally in tallies.values() for kind in FINDINGS))


def _run(name: str, seed: int, runs: int, findings: Path) -> Tally:
    tally, start = Tally(), perf_counter()
    for found in _outcomes(name, seed, runs):
        tally.kinds[found["kind"]] += 1
        tally.peak = max(tally.peak, found.get("peak", 0))
        if found["kind"] in FINDINGS:
            findings.mkdir(parents=True, exist_ok=True)
            stem = findings / f"{name.replace(' ', '-')}-{seed}-{found['index']}-{found['kind']}"
            stem.mkdir(exist_ok=True)
            for file_name, content in files_of(name, seed, found["index"]).items():
                (stem / file_name).write_bytes(content)
            stem.with_suffix(".txt").write_text(found.get("detail", ""), errors="backslashreplace")
    tally.seconds = perf_counter() - start
    return tally


def _outcomes(name: str, seed: int, runs: int) -> Iterator[dict]:
    """Yield what became of every input, with a child for as many as it survives."""
    index = 0
    while index < runs:
        with tempfile.TemporaryDirectory() as folder:
            words = ["-m", "tests.fuzz.worker", name, str(seed), str(index), str(runs), folder]
            child = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, bufsize=0)
            begun = False
            for line in _lines(child):
                begun = "begun" in line
                index = line["begun"] if begun else line["index"] + 1
                if not begun:
                    yield line
            hangs = child.poll() is None
            child.kill()
            status = child.wait()
        if index < runs:
            if not begun:
                raise RuntimeError(f"the child for {name} ended with status {status} between two inputs")
            yield {"index": index, "kind": "hang" if hangs else "crash", "detail": f"status {status}"}
            index += 1


def _lines(child: subprocess.Popen) -> Iterator[dict]:
    """Yield what a child says, until it ends or says nothing for too long."""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        patience = STARTING
        while selector.select(patience):
            line = child.stdout.readline()
            if not line.endswith(b"\n"):
                child.wait()
                return
            yield json.loads(line)
            patience = PATIENCE


def _replay(name: str, seed: int, index: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.mkdir()
        files = files_of(name, seed, index)
        for file_name, content in files.items():
            (Path(folder) / file_name).write_bytes(content)
        TARGETS[name].read(Path(folder) / next(iter(files)), out)
    return 0


def _row(name: str, tally: Tally) -> str:
    numbers = [tally.kinds.total(), *(tally.kinds[kind] for kind in ("refused", "accepted", *FINDINGS))]
    numbers += [tally.peak // 2**20, round(tally.seconds)]
    return f"{name:20}" + "".join(f"{number:>11}" for number in numbers)


def _table(tallies: dict[str, Tally], seed: int) -> str:
    heads = ("inputs", "refused", "accepted", *FINDINGS, "peak MiB", "seconds")
    whole = Tally()
    for tally in tallies.values():
        whole.kinds += tally.kinds
        whole.peak, whole.seconds = max(whole.peak, tally.peak), whole.seconds + tally.seconds
    lines = [f"seed {seed}", f"{'target':20}" + "".join(f"{head:>11}" for head in heads)]
    return "\n".join((*lines, *(_row(name, tally) for name, tally in tallies.items()), _row("all", whole)))


if __name__ == "__main__":
    sys.exit(main())

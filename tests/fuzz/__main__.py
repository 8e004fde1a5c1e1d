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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from tests.fuzz.targets import TARGETS, inputs
from tests.fuzz.worker import files_of

PATIENCE = 10.0  # seconds that one input may take
STARTING = 120.0  # seconds that a child may take to begin
CHILD = (sys.executable, "-m", "tests.fuzz.worker")
FINDINGS = ("traceback", "message", "outside", "memory", "hang", "crash")


@dataclass
class Tally:
    """What became of the inputs of one target, bytes at the peak, and seconds that reading took."""

    kinds: Counter[str] = field(default_factory=Counter)
    peak: int = 0
    seconds: float = 0.0

    def add(self, found: dict) -> None:
        """Count one input."""
        self.kinds[found["kind"]] += 1
        self.peak, self.seconds = max(self.peak, found["peak"]), self.seconds + found["seconds"]


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
    tallies = {name: Tally() for name in names}
    start = perf_counter()
    for found in outcomes(asked.seed, asked.runs, names):
        tallies[found["target"]].add(found)
        if found["kind"] in FINDINGS:
            _keep(asked.findings, asked.seed, found)
    sys.stdout.write(f"{_table(tallies, asked.seed, perf_counter() - start)}\n")
    return int(any(tally.kinds[kind] for tally in tallies.values() for kind in FINDINGS))


def _keep(folder: Path, seed: int, found: dict) -> None:
    place = folder / f"{found['target'].replace(' ', '-')}-{seed}-{found['index']}-{found['kind']}"
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files_of(found["target"], seed, found["index"]).items():
        (place / name).write_bytes(content)
    place.with_suffix(".txt").write_text(found["detail"], errors="backslashreplace")


def outcomes(seed: int, runs: int, names: Sequence[str]) -> Iterator[dict]:
    """Yield what became of every input, with a child for as many as it survives."""
    number, last = 0, sum(1 for _ in inputs(runs, names))
    while number < last:
        with tempfile.TemporaryDirectory() as folder:
            words = [str(seed), str(runs), str(number), folder, *names]
            child = subprocess.Popen([*CHILD, *words], stdout=subprocess.PIPE, bufsize=0)
            latest, since = {}, perf_counter()
            for latest in _lines(child):
                if "kind" in latest:
                    number += 1
                    yield latest
                else:
                    since = perf_counter()
            hangs = child.poll() is None
            child.kill()
            status = child.wait()
        if number < last:
            if "kind" in latest or not latest:
                raise RuntimeError(f"the child ended with status {status} before input {number}")
            yield _unfinished(latest, "hang" if hangs else "crash", status, perf_counter() - since)
            number += 1


def _unfinished(latest: dict, end: str, status: int, seconds: float) -> dict:
    """Return what became of an input that a child did not finish; making odd HDF5 may kill the library too."""
    made = "reading" in latest
    found = {"target": latest["target"], "index": latest["reading" if made else "making"]}
    return found | {"kind": end if made else "unmade", "detail": f"status {status}", "seconds": seconds, "peak": 0}


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
    numbers = [tally.kinds.total(), *(tally.kinds[kind] for kind in ("refused", "accepted", "unmade", *FINDINGS))]
    numbers += [tally.peak // 2**20, round(tally.seconds)]
    return f"{name:20}" + "".join(f"{number:>11}" for number in numbers)


def _table(tallies: dict[str, Tally], seed: int, seconds: float) -> str:
    heads = ("inputs", "refused", "accepted", "unmade", *FINDINGS, "peak MiB", "seconds")
    whole = Tally()
    for tally in tallies.values():
        whole.kinds += tally.kinds
        whole.peak, whole.seconds = max(whole.peak, tally.peak), whole.seconds + tally.seconds
    lines = [f"{'':20}" + "".join(f"{head:>11}" for head in heads)]
    lines += [_row(name, tally) for name, tally in tallies.items()]
    told = f"seed {seed}; seconds are those of reading, {seconds:.0f} s with the making of the inputs"
    return "\n".join((*lines, _row("all", whole), told))


if __name__ == "__main__":
    sys.exit(main())

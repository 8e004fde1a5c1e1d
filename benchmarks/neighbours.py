"""What two trainings at once on two processors cost each other, by how long threads wait before they sleep.

    python benchmarks/neighbours.py [--looks 300000 1000 10000] [--seconds 6] [--out FILE]

Steps of training on two threads, batch 16 of 64 x 64 px, alone and beside another such training; each in a process of
its own. "ptycho" is what the command line asks for; PyTorch's own choice is about 300,000. A number is the median of
the steps. On a machine with more processors two trainings of two threads are no matter to each other.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

from ptycho.base.atomic import write_text
from ptycho.base.processors import FEW, LOOKS, THREADS
from ptycho.report.tables import text_table

STEPS = """
import statistics, sys, time, torch
from speed import Asked, step_of
asked = Asked("cpu", torch.device("cpu"), {64: (16,)}, (1,), "32-true", 1.0)
call, _ = step_of(asked, 64, 1, 16, "launched")
call()
took, ends = [], time.perf_counter() + float(sys.argv[1])
while time.perf_counter() < ends:
    begun = time.perf_counter()
    call()
    took.append(time.perf_counter() - begun)
print(1e3 * statistics.median(took))
"""


def milliseconds(looks: str, seconds: float, at_once: int) -> float:
    """Return how long a step takes whose threads look so often before they sleep, in the slowest of some trainings."""
    environment = os.environ | {LOOKS: looks, THREADS: "2"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path[1:]])
    command = [sys.executable, "-c", STEPS, str(seconds)]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(at_once)]
    return max(float(each.communicate()[0]) for each in started)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looks", nargs="+", default=["300000", FEW, "10000"])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each training")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    begun, rows = time.perf_counter(), []
    for looks in asked.looks:
        alone, two = (milliseconds(looks, asked.seconds, at_once) for at_once in (1, 2))
        rows.append([f"{looks}, ptycho" if looks == FEW else looks, f"{alone:.1f}", f"{two:.1f}"])
        print(rows[-1], flush=True)
    table = text_table(["looks before sleep", "alone, ms a step", "two at once"], rows)
    machine = f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} processors"
    words = f"{machine}, load {os.getloadavg()[0]:.1f}, {time.perf_counter() - begun:.0f} s in all"
    print(f"{words}\n\n{table}")
    if asked.out:
        write_text(asked.out, f"$ {shlex.join(['python', *sys.argv])}\n{words}\n\n{table}\n")


if __name__ == "__main__":
    main()

"""How many processors this process was granted, which a container or a job may hold below what the machine has."""

import os
import sys
from pathlib import Path

# Where Linux says it: the limits of all groups of processes, and which group is ours.
GROUPS = Path("/sys/fs/cgroup")
OURS = Path("/proc/self/cgroup")
THREADS = "OMP_NUM_THREADS"
# How often a thread of GNU's OpenMP, which PyTorch brings along, looks whether the others are done before it sleeps. Of
# its own accord it looks for milliseconds: beside a program that keeps a processor busy it so takes the time of the
# very thread that it waits for. This is about as long as waking up takes.
LOOKS, FEW = "GOMP_SPINCOUNT", "1000"
# What else says how threads wait.
WAITING = "OMP_WAIT_POLICY"


def granted_processors(groups: Path = GROUPS, ours: Path = OURS) -> int | None:
    """Return the whole processors of time that control groups grant, at least 1; None where they set no limit.

    The least of this process's own group and those that hold it counts: ``cpu.max`` of version 2, or
    ``cpu.cfs_quota_us`` of version 1. Which processors a process may run on (``taskset``, cpusets) is no concern of
    this: libraries know it.
    """
    found = []
    for line in _lines(ours):
        _, kinds, path = line.split(":", 2)
        if kinds and "cpu" not in kinds.split(","):
            continue
        home = groups / "cpu" if kinds else groups
        # A container sees its own group as the first one, whatever its path outside.
        steps = Path(path.strip("/")).parts
        for folder in (home.joinpath(*steps[:n]) for n in range(len(steps) + 1)):
            found += _limits(folder)
    return max(1, int(min(found))) if found else None


def take_granted_threads() -> None:
    """Let numerical libraries that are opened from now on use as many threads as there are processors granted.

    They would use all processors of the machine and wait for each other. A thread that waits for others sleeps soon:
    they may have no processor while another program runs. What somebody chose stays.
    """
    granted = granted_processors()
    if granted is not None and granted < (os.cpu_count() or 1):
        os.environ.setdefault(THREADS, str(granted))
    if WAITING not in os.environ:
        os.environ.setdefault(LOOKS, FEW)


def usable_processors() -> int:
    """Return how many processors this process may use at once."""
    there = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(granted_processors() or there, there)


def shared_threads(n: int) -> dict[str, str]:
    """Return the variable that gives each of ``n`` processes its part of the threads; nothing where somebody chose."""
    granted = granted_processors()
    if os.environ.get(THREADS) not in (None, str(granted)):
        return {}
    return {THREADS: str(max(1, usable_processors() // n))}


def _limits(folder: Path) -> list[float]:
    words = " ".join(_lines(folder / "cpu.max")).split()
    if not words:
        words = [*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")]
    if len(words) != 2 or words[0] in ("max", "-1"):
        return []
    return [int(words[0]) / int(words[1])]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except OSError:
        return []

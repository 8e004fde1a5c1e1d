"""How the benchmark of speed measures: medians, the work that operations do, and the ceilings of the machine."""

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Timed:
    """Seconds of every call by the clock, and those of this process and all its threads."""

    walls: tuple[float, ...]
    cpus: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Median by the clock."""
        return statistics.median(self.walls)

    @property
    def cpu_seconds(self) -> float:
        """Median of what all threads took."""
        return statistics.median(self.cpus)

    def times_faster(self, other: "Timed") -> float:
        """Return how many times as long another call took, as the median over calls that took turns."""
        return statistics.median(theirs / ours for ours, theirs in zip(self.walls, other.walls, strict=True))


def timed(call: Callable[[], Any], device: torch.device, *, budget: float, least: int = 3) -> Timed:
    """Time a call alone, as `timed_in_turns` does."""
    return timed_in_turns([call], device, budget=budget, least=least)[0]


def timed_in_turns(
    calls: Sequence[Callable[[], Any]], device: torch.device, *, budget: float, least: int = 3
) -> list[Timed]:
    """Time calls one after the other, again and again, so that a machine that grows slower is so for all alike.

    Each is called once to warm up; then there are ``least`` rounds at least, until they took ``budget`` (s) a call.
    """
    for call in calls:
        call()
    synchronise(device)
    rounds: list[list[tuple[float, float]]] = []
    begun = time.perf_counter()
    while len(rounds) < least or time.perf_counter() - begun < budget * len(calls):
        rounds.append([_once(call, device) for call in calls])
    return [Timed(*zip(*of_call, strict=True)) for of_call in zip(*rounds, strict=True)]


def _once(call: Callable[[], Any], device: torch.device) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    synchronise(device)
    return time.perf_counter() - wall, time.process_time() - cpu


class Traffic(TorchDispatchMode):
    """Adds up the bytes that operations read and write, each as if nothing stayed in a cache; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, torch.Tensor)]
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return out


@dataclass(frozen=True)
class Work:
    """Floating-point operations of convolutions and matrix products, and the bytes that all operations move."""

    flops: float
    bytes: float

    def times(self, n: float) -> "Work":
        """Return so many times as much."""
        return Work(n * self.flops, n * self.bytes)


def work_of(call: Callable[[], Any]) -> Work:
    """Return what a call does."""
    with FlopCounterMode(display=False) as flops, Traffic() as traffic:
        call()
    return Work(flops.get_total_flops(), traffic.bytes)


@dataclass(frozen=True)
class Machine:
    """What the machine can do at best: a matrix product, in operations a second, and a copy, in bytes a second."""

    device: torch.device
    flops: float
    bandwidth: float

    @staticmethod
    def measured(device: torch.device, dtype: torch.dtype) -> "Machine":
        """Time a product of large square matrices, and a copy of what fits no cache."""
        side, n_bytes = (8192, 2**31) if device.type == "cuda" else (1536, 2**28)
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        product = timed(lambda: a @ b, device, budget=1.0)
        source = torch.zeros(n_bytes, dtype=torch.uint8, device=device)
        target = torch.empty_like(source)
        copy = timed(lambda: target.copy_(source), device, budget=1.0)
        return Machine(device, 2 * side**3 / product.seconds, 2 * n_bytes / copy.seconds)

    def share(self, work: Work, seconds: float) -> float:
        """Return the time that the ceilings would take over the time that it took; caches can bring it above 1."""
        return max(work.flops / self.flops, work.bytes / self.bandwidth) / seconds


def machine_words(device: torch.device) -> str:
    """Return the processor or card, its threads, and the versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    threads = f"{torch.get_num_threads()} threads"
    return f"{name}, {threads}; Python {platform.python_version()}, torch {torch.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")

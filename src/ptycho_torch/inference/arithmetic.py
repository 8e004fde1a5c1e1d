"""How numbers are computed with: the precision of a network, and whether the same run gives the same bits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ptycho.base.errors import ConfigError
from ptycho.config.execution import Deterministic

SHORT = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
# Space for matrix products, without which cuBLAS does not repeat itself; read when it is first used.
WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the arithmetic of a network: what is not safe in 16 bits, and all physics, stays in 32.

    Raises
    ------
    ConfigError
        The precision is another one.
    """
    if precision != "32-true" and precision not in SHORT:
        raise ConfigError(f"precision is {precision!r}; expected 32-true, {' or '.join(SHORT)}; choose one of these")
    # What it would keep of one block is needed in no other, and must not outlive a recorded one.
    return torch.autocast(device.type, SHORT.get(precision), enabled=precision in SHORT, cache_enabled=False)


@contextmanager
def repeatable(deterministic: Deterministic) -> Iterator[None]:
    """Have every sum in the block taken in a fixed order, or a warning where it can't be; False asks for nothing.

    On a GPU that costs time: what is scattered is sorted first.

    Raises
    ------
    RuntimeError
        From within, of an operation that knows no fixed order, unless warnings are enough.
    """
    if not deterministic:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault(*WORKSPACE)
    torch.use_deterministic_algorithms(True, warn_only=deterministic == "warn")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])

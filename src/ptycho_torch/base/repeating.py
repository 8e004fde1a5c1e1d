"""Whether the same run gives the same bits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

# Space for matrix products, without which cuBLAS does not repeat itself; read when it is first used.
WORKSPACE, LARGE_ENOUGH = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"


@contextmanager
def repeatable(deterministic: bool | Literal["warn"]) -> Iterator[None]:
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
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    # Nothing here is read unwritten, and filling all memory first costs a GPU much.
    torch.utils.deterministic.fill_uninitialized_memory = False
    workspace = os.environ.get(WORKSPACE)
    os.environ.setdefault(WORKSPACE, LARGE_ENOUGH)
    torch.use_deterministic_algorithms(True, warn_only=deterministic == "warn")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = fills
        if workspace is None:
            del os.environ[WORKSPACE]

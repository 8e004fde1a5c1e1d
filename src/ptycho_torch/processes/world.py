"""All processes of a run, and what they add up; one process alone has nothing to add and waits for nobody."""

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from ptycho.base.errors import ConfigError, LostError
from ptycho.base.launched import Launched, patience

# What a failing connection is called, where its error has no class of its own.
LOST = re.compile("gloo|nccl|connection|timed out|timeout|peer|socket", re.IGNORECASE)
TAKEN = re.compile("EADDRINUSE|address already in use", re.IGNORECASE)


@dataclass(frozen=True)
class World:
    """The processes that share a run: this one's number from 0, and how many there are.

    Every process calls the same methods in the same order with tensors of the same shapes; whatever they return is
    the same on all, bit by bit, so that all decide alike.
    """

    rank: int = 0
    size: int = 1

    def share(self, n: int) -> slice:
        """Return which of ``n`` things in a row this process works on; shares differ by one at most."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Bring a tensor to the sum over all processes, and return it.

        Raises
        ------
        LostError
            Another process ended, or said nothing for too long.
        """
        return self._exchanged(tensor, distributed.all_reduce)

    def agree(self, tensor: Tensor) -> Tensor:
        """Bring a tensor, which GPUs may have rounded each in its own way, to what the first process has; return it.

        Raises
        ------
        LostError
            Another process ended, or said nothing for too long.
        """
        return self._exchanged(tensor, functools.partial(distributed.broadcast, src=0))

    def _exchanged(self, tensor: Tensor, exchange: Callable[[Tensor], Any]) -> Tensor:
        if self.size == 1:
            return tensor
        sent = tensor.contiguous()
        with lost_is_told():
            exchange(torch.view_as_real(sent) if sent.is_complex() else sent)
        return tensor if sent is tensor else tensor.copy_(sent)

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes, as part of what gradients are taken of."""
        return tensor if self.size == 1 else _Total.apply(self, tensor)

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Bring tensors to their means over all processes; they travel together, and nothing is read back.

        Raises
        ------
        LostError
            Another process ended, or said nothing for too long.
        """
        if self.size == 1 or not tensors:
            return
        real = [torch.view_as_real(tensor) if tensor.is_complex() else tensor for tensor in tensors]
        means = self.sum(torch.cat([tensor.reshape(-1) for tensor in real])).div_(self.size)
        parts = means.split([tensor.numel() for tensor in real])
        torch._foreach_copy_(real, [part.view(tensor.shape) for part, tensor in zip(parts, real, strict=True)])

    def gather(self, own: Tensor, n: int) -> Tensor:
        """Return the rows of all processes, ``n`` of them, each process giving those of its `share`."""
        if self.size == 1:
            return own
        rows = own.new_zeros((n, *own.shape[1:]))
        rows[self.share(n)] = own
        return self.sum(rows)

    def any(self, flag: bool) -> bool:
        """Return whether a flag is up in any process; a GPU is not waited for."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(float(flag))) > 0)


ALONE = World()


class _Total(torch.autograd.Function):
    """The sum over processes; its gradient is the sum over processes too, since every one uses the result."""

    @staticmethod
    def forward(context: Any, world: World, tensor: Tensor) -> Tensor:
        context.world = world
        return world.sum(tensor.clone())

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, context.world.sum(gradient.clone())


@contextmanager
def joined(found: Launched, device: torch.device) -> Iterator[World]:
    """Meet the other processes of a run and yield them all.

    Raises
    ------
    LostError
        They did not all come in time.
    ConfigError
        Another program listens at the port.
    """
    if found.size == 1:
        yield ALONE
        return
    os.environ.update(found.variables())
    # Whoever waits in vain for another GPU is ended then, and not four times this later, ms, for records nobody reads.
    os.environ.setdefault("TORCH_NCCL_WAIT_TIMEOUT_DUMP_MILSEC", "250")
    with lost_is_told():
        distributed.init_process_group(backend_of(device), rank=found.rank, world_size=found.size, timeout=patience())
    yield World(found.rank, found.size)
    # After an error the others may be gone; the process ends and takes its connections with it.
    distributed.destroy_process_group()


def backend_of(device: torch.device) -> str:
    """Return what carries sums between processes: NCCL between GPUs, and gloo for what lies on the CPU."""
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"


@contextmanager
def lost_is_told() -> Iterator[None]:
    """Say in one line that another process was lost, or its port taken, where a connection fails in the block."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and not LOST.search(str(error)):
            raise
        if TAKEN.search(str(error)):
            raise ConfigError(
                f"another program listens at port {os.environ['MASTER_PORT']} already; expected a free one for the "
                "processes of this run to meet at; set MASTER_PORT to another"
            ) from error
        raise LostError(
            f"another process of this run ended, or said nothing for {patience().total_seconds():g} s; expected all to "
            "go on together; what that process says tells why; PTYCHO_TIMEOUT sets how long is waited"
        ) from error

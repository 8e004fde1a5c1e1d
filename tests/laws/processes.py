"""The same function in two processes of one run, which compute together over gloo."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import multiprocessing

from ptycho.base.launched import Launched


def in_two(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return what ``function`` returned in each of two processes, which torchrun's variables tell of each other."""
    with socket.socket() as listening, TemporaryDirectory() as folder:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        listening.close()
        multiprocessing.spawn(_work, (port, folder, function, arguments), nprocs=2)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(2)]


def _work(rank: int, port: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ.update(Launched(rank, 2, rank, 2, port=port).variables())
    torch.save(function(*arguments), Path(folder) / f"{rank}.pt")

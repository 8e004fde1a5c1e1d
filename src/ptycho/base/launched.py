"""The processes of one run: which of them this one is, as torchrun, SLURM or our own launcher says it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from ptycho.base.errors import ConfigError

# Seconds that a process waits for the others; one that says nothing for longer is taken for dead.
TIMEOUT, TIMEOUT_VARIABLE = 45.0, "PTYCHO_TIMEOUT"
# First port of those that jobs of SLURM meet at, and how many there are.
FIRST_PORT, N_PORTS = 15000, 10000


@dataclass(frozen=True)
class Launched:
    """Which process of a run this is.

    Attributes
    ----------
    rank, size
        Its number, from 0, and how many there are. The first one alone reads answers out and writes files.
    local_rank, local_size
        The same among those on its machine: the number of its device.
    address, port
        Where the first process listens for the others.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    address: str = "127.0.0.1"
    port: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def variables(self) -> dict[str, str]:
        """Return the environment variables that torchrun would set."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_size),
            "GROUP_RANK": str(self.rank // self.local_size),
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
        }


ALONE = Launched()


def launched(devices: int | Literal["auto"], environment: Mapping[str, str] = os.environ) -> Launched:
    """Return which process this is of a run on so many devices.

    A run on one device is alone, whatever a launcher says of others: a job of many tasks may be many runs.

    Raises
    ------
    ConfigError
        There are more or fewer processes than devices.
    """
    found = ALONE if devices == 1 else from_launcher(environment)
    if found is None:
        if devices == "auto":
            return ALONE
        raise ConfigError(
            f"devices is {devices} and this is one process; expected one for each device; start the program with "
            f"torchrun --nproc-per-node {devices}, with srun --ntasks {devices}, or `ptycho train` and `ptycho "
            "reconstruct`, which start them themselves; or set devices to 1"
        )
    if devices not in ("auto", found.size):
        raise ConfigError(
            f"devices is {devices} and {found.size} processes were started; expected one for each device; set devices "
            f"to {found.size} or to auto"
        )
    return found


def from_launcher(environment: Mapping[str, str] = os.environ) -> Launched | None:
    """Return what torchrun, or else SLURM's srun, says of this process; None where neither started it.

    A batch script of a job, and the only task of a step, are started by nobody: they may start others.

    Raises
    ------
    ConfigError
        A variable is no number, or there are more tasks on one machine than on another.
    """
    if {"RANK", "WORLD_SIZE"} <= environment.keys():
        size = _number(environment, "WORLD_SIZE")
        return Launched(
            _number(environment, "RANK"),
            size,
            _number(environment, "LOCAL_RANK", _number(environment, "RANK")),
            _number(environment, "LOCAL_WORLD_SIZE", size),
            environment.get("MASTER_ADDR", ALONE.address),
            _number(environment, "MASTER_PORT", FIRST_PORT),
        )
    size = _number(environment, "SLURM_STEP_NUM_TASKS", 1)
    if size > 1:
        job, n_nodes = _number(environment, "SLURM_JOB_ID", 0), _number(environment, "SLURM_STEP_NUM_NODES", 1)
        nodes = environment.get("SLURM_STEP_NODELIST", ALONE.address)
        step_port = FIRST_PORT + (job + _number(environment, "SLURM_STEP_ID", 0)) % N_PORTS
        if not n_nodes or size % n_nodes:
            raise ConfigError(
                f"found {size} tasks on {n_nodes} machines; expected as many on each; give --ntasks-per-node"
            )
        return Launched(
            _number(environment, "SLURM_PROCID"),
            size,
            _number(environment, "SLURM_LOCALID", 0),
            size // n_nodes,
            environment.get("MASTER_ADDR", first_host(nodes)),
            _number(environment, "MASTER_PORT", step_port),
        )
    return None


def first_host(nodes: str) -> str:
    """Return the first machine of a list of SLURM.

    Examples
    --------
    >>> first_host("gpu[003-005,9],cpu1"), first_host("cpu1,cpu2")
    ('gpu003', 'cpu1')
    """
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", nodes).split(",")[0]


def patience(environment: Mapping[str, str] = os.environ) -> timedelta:
    """Return how long a process waits for the others: 45 s, or the seconds that ``PTYCHO_TIMEOUT`` says.

    Raises
    ------
    ConfigError
        That is no positive number.
    """
    said = environment.get(TIMEOUT_VARIABLE, str(TIMEOUT))
    try:
        seconds = float(said)
        if not 0 < seconds < float("inf"):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{TIMEOUT_VARIABLE} is {said!r}; expected a positive number of seconds, such as 60; correct or unset it"
        ) from None
    return timedelta(seconds=seconds)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    said = environment.get(name, str(default))
    if not said.isdecimal():
        raise ConfigError(f"the environment variable {name} is {said!r}; expected a whole number; correct or unset it")
    return int(said)

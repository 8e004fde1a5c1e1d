"""Who made a file: the command, the machine and the time."""

import os
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime


def provenance(command: Sequence[str]) -> dict[str, str]:
    """Return the command line as a shell would take it, the time now in UTC, and what the machine is."""
    return {
        "command": shlex.join(command),
        "finished": datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
        "machine": f"{platform.platform()}, {os.cpu_count()} CPU cores",
    }

"""How a network computes: its precision."""

import torch

from ptycho.base.errors import ConfigError

SHORT = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


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

"""How a network learns from a scan: the only room that knows Lightning."""

from ptycho_torch.base.installed import require_torch

require_torch()

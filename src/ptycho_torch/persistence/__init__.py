"""Trained networks as files that can't run anything."""

from ptycho_torch.base.installed import require_torch

require_torch()

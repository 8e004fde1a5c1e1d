"""The network joined with its physics, and how a configuration becomes modules."""

from ptycho_torch.base.installed import require_torch

require_torch()

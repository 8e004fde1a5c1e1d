"""The processes of one run on several devices, and what they add up."""

from ptycho_torch.base.installed import require_torch

require_torch()

"""From scans and groups to tensors: what one step of training sees."""

from ptycho_torch.base.installed import require_torch

require_torch()

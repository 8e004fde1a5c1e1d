"""What the doors share: how an older client's call becomes calls of the rooms."""

from ptycho_torch.base.installed import require_torch

require_torch()

"""From trained network to object: predict, stitch, refine."""

from ptycho_torch.base.installed import require_torch

require_torch()

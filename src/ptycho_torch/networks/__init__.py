"""Networks: measured amplitudes in, complex object patches out. They know no probe, no configuration, no trainer."""

from ptycho_torch.base.installed import require_torch

require_torch()

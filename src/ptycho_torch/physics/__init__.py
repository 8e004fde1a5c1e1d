"""The forward model as small operators that compose with ``@``: object -> patches -> exit waves -> counts."""

from ptycho_torch.base.installed import require_torch

require_torch()

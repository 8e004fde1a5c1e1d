"""What training and refinement minimise: likelihoods in counts, and regularisers of the canvas."""

from ptycho_torch.base.installed import require_torch

require_torch()

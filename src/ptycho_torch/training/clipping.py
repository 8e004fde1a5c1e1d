"""How large a gradient may be."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig

# Used when the configuration leaves the gradient's norm free.
CLIP_NORM = 1.0
# Weights smaller than this count as that large, so that what starts at zero can move.
SMALLEST_NORM = 1e-3


def clip_algorithm(config: TrainingConfig, execution: PyTorchExecutionConfig) -> str:
    """Return "norm", "value" or "agc": the machine's choice where it sets a limit, else the training's."""
    return (config if execution.gradient_clip_val is None else execution).gradient_clip_algorithm


def clip_limit(config: TrainingConfig, execution: PyTorchExecutionConfig) -> float:
    """Return the limit: the machine's choice over the training's, 1 where neither says anything, 0 for none."""
    for choice in (execution.gradient_clip_val, config.gradient_clip_val):
        if choice is not None:
            return choice
    return CLIP_NORM


def clip(parameters: Sequence[Tensor], limit: float, algorithm: str) -> None:
    """Clip the norm of all gradients ("norm"), every value ("value"), or each layer ("agc"); not at all at limit 0."""
    if limit == 0:
        return
    {"norm": clip_grad_norm_, "value": clip_grad_value_, "agc": clip_adaptively}[algorithm](parameters, limit)


@torch.no_grad()
def clip_adaptively(parameters: Sequence[Tensor], limit: float) -> None:
    """Scale each gradient g of weights w to |g| <= limit max(|w|, 1e-3), row by row (DOI 10.48550/arXiv.2102.06171)."""
    for weights in parameters:
        if weights.grad is None:
            continue
        rows = tuple(range(1, weights.ndim))
        of_weights = torch.linalg.vector_norm(weights, dim=rows, keepdim=True).clamp_min(SMALLEST_NORM)
        of_gradient = torch.linalg.vector_norm(weights.grad, dim=rows, keepdim=True).clamp_min(1e-12)
        weights.grad.mul_((limit * of_weights / of_gradient).clamp_max(1))

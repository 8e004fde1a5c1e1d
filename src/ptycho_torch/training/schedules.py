"""How fast to learn, and when."""

import math
from collections.abc import Callable

from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig

# Share of a run that the default schedule warms up for.
WARM_UP = 0.04


def make_optimizer(parameters: list, config: TrainingConfig, execution: PyTorchExecutionConfig) -> Optimizer:
    """Return the configured optimiser."""
    rate = execution.learning_rate
    if config.optimizer == "sgd":
        return SGD(parameters, lr=rate, momentum=config.momentum, weight_decay=config.weight_decay)
    kind = AdamW if config.optimizer == "adamw" else Adam
    betas = (config.adam_beta1, config.adam_beta2)
    # One kernel for all weights. With float16 it would also undo the scaling of gradients, after they were clipped.
    fused = execution.precision != "16-mixed"
    return kind(parameters, lr=rate, betas=betas, weight_decay=config.weight_decay, fused=fused)


def warm_up_cosine(n_steps: int, n_warm: int, end: float) -> Callable[[int], float]:
    """Return step -> factor: a line from 0 to 1, then a cosine from 1 to ``end``."""

    def factor(step: int) -> float:
        if step < n_warm:
            return (step + 1) / n_warm
        done = min(1.0, (step - n_warm) / max(1, n_steps - n_warm))
        return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * done))

    return factor


def exponential(n_steps: int, end: float) -> Callable[[int], float]:
    """Return step -> factor: a constant ratio from step to step, from 1 to ``end``."""

    def factor(step: int) -> float:
        return end ** min(1.0, step / n_steps)

    return factor


def make_scheduler(optimizer: Optimizer, config: TrainingConfig, n_steps: int) -> LambdaLR | ReduceLROnPlateau:
    """Return the configured schedule: by steps, of which ``n_steps`` make the whole run, or by the loss of an epoch."""
    if config.scheduler == "ReduceLROnPlateau":
        return ReduceLROnPlateau(
            optimizer,
            factor=config.plateau_factor,
            patience=config.plateau_patience,
            min_lr=config.plateau_min_lr,
            threshold=config.plateau_threshold,
        )
    if config.scheduler == "Exponential":
        factor = exponential(n_steps, config.lr_min_ratio)
    else:
        per_epoch = n_steps / config.nepochs
        n_warm = max(1, round(config.lr_warmup_epochs * per_epoch or WARM_UP * n_steps))
        factor = warm_up_cosine(n_steps, n_warm, config.lr_min_ratio)
    return LambdaLR(optimizer, factor)

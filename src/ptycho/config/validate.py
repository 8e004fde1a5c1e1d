"""Checks of a whole configuration, made when a verb or a door starts."""

from pathlib import Path

from ptycho.base.errors import ConfigError
from ptycho.config.checks import literals, number, whole
from ptycho.config.execution import PyTorchExecutionConfig, check_execution
from ptycho.config.inference import InferenceConfig
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig

BUNDLE_MEMBERS = ("wts.h5.zip", "model.zip", "manifest.json")


def validate_model(config: ModelConfig) -> None:
    """Refuse a model that can't be built.

    Raises
    ------
    ConfigError
        With the field, its value, what is accepted and what to do.
    """
    literals(config)
    whole(config, "N", least=32)
    if config.N % 8:
        raise ConfigError(
            f"N is {config.N}; expected a multiple of 8; take {config.N - config.N % 8} or "
            f"{config.N + 8 - config.N % 8} px, to which patterns are cropped or padded"
        )
    whole(config, "gridsize", "n_filters_scale", "lean_width", "fno_modes", "fno_width", "fno_blocks", least=1)
    whole(config, "learned_input_channels", "passes", least=1)
    whole(config, "fno_cnn_blocks", least=0)
    whole(config, "max_hidden_channels", "resnet_width", least=1, optional=True)
    number(config, "probe_scale", above=0)
    number(config, "probe_mask_diameter", above=0, optional=True)
    number(config, "probe_mask_sigma", "gaussian_smoothing_sigma", least=0)
    if config.architecture == "unrolled":
        _check_unrolled(config)


def _check_unrolled(config: ModelConfig) -> None:
    """Refuse what an unrolled network can't be: its patterns meet on the canvas, and its teacher is the counts."""
    if config.gridsize > 1:
        raise ConfigError(
            f"gridsize is {config.gridsize} with the unrolled architecture; expected 1: its patterns meet on the "
            "canvas; set gridsize to 1, or choose the lean architecture"
        )
    if config.model_type == "supervised":
        raise ConfigError(
            'model_type is "supervised" with the unrolled architecture; expected "pinn": its passes ask the counts; '
            'set model_type to "pinn", or choose the lean architecture'
        )


def validate_training(config: TrainingConfig, execution: PyTorchExecutionConfig | None = None) -> None:
    """Refuse a training run that can't start or can't learn.

    Raises
    ------
    ConfigError
        With the field, its value, what is accepted and what to do.
    """
    validate_model(config.model)
    literals(config)
    whole(config, "batch_size", "canvas_size", "nepochs", least=1)
    number(config, "validation_fraction", least=0, below=1)
    number(config, "nphotons", above=0)
    _check_grouping(config)
    _check_objective(config)
    _check_optimiser(config)
    if config.probe_trainable and config.model.architecture == "unrolled":
        raise ConfigError(
            "probe_trainable is set with the unrolled architecture; expected false: it works with the probe of the "
            "scan that it reconstructs; improve that one there with --refine_probe"
        )
    if execution is not None:
        check_execution(execution)


def validate_inference(config: InferenceConfig) -> None:
    """Refuse a reconstruction that can't start.

    Raises
    ------
    ConfigError
        With the field, its value, what is accepted and what to do; or where no trained network was found.
    """
    validate_model(config.model)
    literals(config)
    _check_grouping(config)
    path = Path(config.model_path)
    if path.is_dir():
        if not any((path / member).exists() for member in BUNDLE_MEMBERS):
            raise ConfigError(
                f"model_path is the folder {path}, without wts.h5.zip in it; expected a trained network; "
                "give the output folder of a training run, or its bundle"
            )
    elif not (path.exists() or path.with_name(f"{path.name}.zip").exists()):
        raise ConfigError(
            f"model_path is {path}, which does not exist; expected a trained network; "
            "give the output folder of a training run, or its bundle"
        )


def _check_grouping(config: TrainingConfig | InferenceConfig) -> None:
    whole(config, "n_images", "n_groups", "n_subsample", least=1, optional=True)
    whole(config, "subsample_seed", least=0, most=2**32 - 1, optional=True)
    whole(config, "neighbor_count", least=1)
    members = config.model.gridsize**2
    whole(config, "neighbor_pool_size", least=members, optional=True)


def _check_objective(config: TrainingConfig) -> None:
    number(config, "nll_weight", "mae_weight", least=0, most=1)
    number(config, "realspace_weight", "realspace_mae_weight", least=0)
    number(config, "thinning", least=0, below=1)
    if config.torch_loss_mode == "poisson" and config.nll_weight == config.mae_weight == 0:
        raise ConfigError(
            "nll_weight and mae_weight are both 0; expected a loss that compares with the measurement; "
            "set nll_weight to 1 for the Poisson likelihood, or mae_weight to 1 for the amplitude error"
        )
    if config.realspace_mae_weight > 0 and config.realspace_weight == 0:
        raise ConfigError(
            f"realspace_mae_weight is {config.realspace_mae_weight} while realspace_weight is 0, which multiplies it; "
            "expected both or neither; set realspace_weight above 0, or realspace_mae_weight to 0"
        )


def _check_optimiser(config: TrainingConfig) -> None:
    number(config, "gradient_clip_val", least=0, optional=True)
    number(config, "momentum", "adam_beta1", "adam_beta2", least=0, below=1)
    number(config, "weight_decay", "plateau_min_lr", "plateau_threshold", least=0)
    number(config, "lr_min_ratio", above=0, most=1)
    number(config, "plateau_factor", above=0, below=1)
    whole(config, "plateau_patience", "lr_warmup_epochs", least=0)
    if config.lr_warmup_epochs > config.nepochs:
        raise ConfigError(
            f"lr_warmup_epochs is {config.lr_warmup_epochs}, longer than the run of {config.nepochs} epochs; "
            "expected a part of the run; set lr_warmup_epochs to nepochs or less, 0 for 4 % of the run"
        )

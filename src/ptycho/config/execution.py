"""Choices about the machine: devices, precision, workers, logs. They never change what is computed, only how."""

from dataclasses import dataclass
from typing import Literal

from ptycho.config.checks import literals, number, whole

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
Deterministic = bool | Literal["warn"]


@dataclass(slots=True)
class PyTorchExecutionConfig:
    """Where and how the PyTorch engine runs.

    Attributes
    ----------
    accelerator
        Kind of device; "auto" takes a GPU where there is one, when the run starts.
    devices
        Number of devices, at least 1, or "auto" for all of them; each takes a batch of its own in every step.
    strategy
        Lightning's strategy; for several devices "auto" or "ddp", which are the same.
    deterministic
        The same run gives the same bits; "warn" where an operation can't.
    precision
        Arithmetic of the network: 32 bits, or 16 bits where that is safe.
    gradient_clip_val
        Overrides the training choice of the same name; null leaves it.
    gradient_clip_algorithm
        Used where gradient_clip_val is set here.
    accum_steps
        Batches whose gradients are summed before a step; at least 1.
    num_workers
        Processes that load data beside the training process; 0 or more.
    pin_memory
        Load into page-locked memory, for faster copies to a GPU.
    persistent_workers
        Keep the loading processes between epochs.
    prefetch_factor
        Batches that each loading process prepares ahead; null for PyTorch's own.
    learning_rate
        Largest learning rate of the run; above 0.
    scheduler
        Kept for older clients: the training choice of the same name decides, and this one is not read.
    enable_progress_bar
        Show a line that says how far the run is; `ptycho train` does it without --quiet whatever this says.
    enable_checkpointing
        Write checkpoints while training.
    checkpoint_save_top_k
        Number of best checkpoints to keep; 0 or more.
    checkpoint_monitor_metric
        Loss that says which checkpoint is best; without validation it is the training loss.
    checkpoint_mode
        Whether that metric should be small or large.
    early_stop_patience
        Epochs without progress before training stops early, where the training's scheduler is ReduceLROnPlateau; the
        others lower the learning rate until the last epoch, and are followed to it. At least 1.
    logger_backend
        Where curves go besides the CSV file that is always written; null, "none" and "csv" for nowhere else.
    recon_log_every_n_epochs
        Epochs between logged reconstructions in the older interface; not read.
    recon_log_num_patches
        Patches in a logged reconstruction; not read.
    recon_log_fixed_indices
        Positions whose patches are logged; not read.
    recon_log_stitch
        Log the stitched object too; not read.
    recon_log_max_stitch_samples
        Largest number of patterns stitched for the log; not read.
    ffno_encoder_blocks
        Number of encoder blocks; read by Fourier networks only.
    ffno_encoder_modes
        Fourier modes kept along each axis in the encoder; read by Fourier networks only.
    ffno_encoder_share_weights
        Encoder blocks share their weights; read by Fourier networks only.
    ffno_encoder_gate_init
        First value of the encoder's gates; read by Fourier networks only.
    ffno_encoder_norm
        Normalisation in the encoder; read by Fourier networks only.
    ffno_encoder_mlp_ratio
        Hidden width over width in the encoder; read by Fourier networks only.
    spectral_bottleneck_blocks
        Number of bottleneck blocks; read by Fourier networks only.
    spectral_bottleneck_modes
        Fourier modes kept along each axis in the bottleneck; read by Fourier networks only.
    spectral_bottleneck_share_weights
        Bottleneck blocks share their weights; read by Fourier networks only.
    spectral_bottleneck_gate_init
        First value of the bottleneck's gates; read by Fourier networks only.
    spectral_bottleneck_gate_mode
        One gate for all bottleneck blocks or one each; read by Fourier networks only.
    inference_batch_size
        Patterns in one step of prediction; null for the training's batch_size.
    middle_trim
        Kept for older clients and not read.
    pad_eval
        Kept for older clients and not read.

    Raises
    ------
    ConfigError
        A value is outside its range (a ValueError, already at construction).
    """

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: int | Literal["auto"] = 1
    strategy: str = "auto"
    deterministic: Deterministic = True
    precision: Precision = "32-true"
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: Literal["norm", "value", "agc"] = "norm"
    accum_steps: int = 1
    num_workers: int = 0
    pin_memory: bool = False
    persistent_workers: bool = False
    prefetch_factor: int | None = None
    learning_rate: float = 1e-3
    scheduler: str = "Default"
    enable_progress_bar: bool = False
    enable_checkpointing: bool = True
    checkpoint_save_top_k: int = 1
    checkpoint_monitor_metric: Literal["val_loss", "train_loss"] = "val_loss"
    checkpoint_mode: Literal["min", "max"] = "min"
    early_stop_patience: int = 100
    logger_backend: Literal["csv", "tensorboard", "mlflow", "none"] | None = "csv"
    recon_log_every_n_epochs: int | None = None
    recon_log_num_patches: int = 4
    recon_log_fixed_indices: list[int] | None = None
    recon_log_stitch: bool = False
    recon_log_max_stitch_samples: int | None = None
    ffno_encoder_blocks: int = 24
    ffno_encoder_modes: int = 12
    ffno_encoder_share_weights: bool = True
    ffno_encoder_gate_init: float = 0.1
    ffno_encoder_norm: str = "instance"
    ffno_encoder_mlp_ratio: float = 2.0
    spectral_bottleneck_blocks: int = 6
    spectral_bottleneck_modes: int = 12
    spectral_bottleneck_share_weights: bool = True
    spectral_bottleneck_gate_init: float = 0.1
    spectral_bottleneck_gate_mode: Literal["shared", "per_block"] = "shared"
    inference_batch_size: int | None = None
    middle_trim: int = 0
    pad_eval: bool = False

    def __post_init__(self) -> None:
        check_execution(self)


def check_execution(config: PyTorchExecutionConfig) -> None:
    """Refuse a value outside its range.

    Raises
    ------
    ConfigError
        With the field, its value and what is accepted.
    """
    literals(config)
    if config.devices != "auto":
        whole(config, "devices", least=1)
    whole(config, "accum_steps", "early_stop_patience", "recon_log_num_patches", least=1)
    whole(config, "num_workers", "checkpoint_save_top_k", least=0)
    whole(config, "ffno_encoder_blocks", "ffno_encoder_modes", least=1)
    whole(config, "spectral_bottleneck_blocks", "spectral_bottleneck_modes", least=1)
    whole(config, "prefetch_factor", "inference_batch_size", least=1, optional=True)
    whole(config, "recon_log_every_n_epochs", "recon_log_max_stitch_samples", least=1, optional=True)
    number(config, "learning_rate", "ffno_encoder_gate_init", "ffno_encoder_mlp_ratio", above=0)
    number(config, "spectral_bottleneck_gate_init")
    number(config, "gradient_clip_val", least=0, optional=True)

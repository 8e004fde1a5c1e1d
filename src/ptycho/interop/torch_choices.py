"""The five sets of choices of the older PyTorch library: plain, mutable, picklable, and known without torch.

Only the fields that `ptycho_torch.clients.library.choices` names are read; the others are accepted from older clients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ptycho.base.errors import ConfigError
from ptycho.config.checks import nearest


@dataclass(slots=True)
class DataConfig:
    """Choices about the scan.

    Attributes
    ----------
    N
        Side of a pattern, px; the data decide when they are known.
    C, grid_size
        Scan positions in a group, and the same number as rows x columns.
    K
        Nearest positions that the members of a group are drawn from.
    n_subsample
        Groups drawn for every scan position where C is larger than 1.
    subsample_seed
        Seed of every draw; None for the engine's own.
    nphotons
        Mean counts of a frame; used only for amplitudes that don't say it.
    probe_scale
        Scale of the normalised probe in the older interface.
    """

    nphotons: float = 1e5
    scale_contract_version: str = "ci_intensity_v2"
    measurement_domain: str = "count_intensity"
    N: int = 64
    C: int = 4
    K: int = 6
    K_quadrant: int = 30
    n_subsample: int = 7
    subsample_seed: int | None = None
    grid_size: tuple[int, int] = (2, 2)
    neighbor_function: str = "Nearest"
    min_neighbor_distance: float = 0.0
    max_neighbor_distance: float = 3.0
    scan_pattern: str = "Isotropic"
    normalize: str = "Batch"
    probe_scale: float = 4.0
    probe_normalize: bool = True
    probe_ramp_removal: bool = False
    data_scaling: str = "Parseval"
    phase_subtraction: bool = True
    x_bounds: tuple[float, float] = (0.1, 0.9)
    y_bounds: tuple[float, float] = (0.1, 0.9)


@dataclass(slots=True)
class ModelConfig:
    """Choices about the network and its loss.

    Attributes
    ----------
    mode
        "Unsupervised" or "Supervised".
    architecture
        Network by its name in `ptycho.config.model.ModelConfig`.
    loss_function
        "Poisson" or "MAE".
    probe_mask
        Multiply the probe by a disk; an array of the older interface counts as yes.
    probe_mask_sigma, probe_mask_diameter
        Soft edge and diameter of that disk, px.
    amp_activation
        Activation of the amplitude head: "silu", "sigmoid", "swish", "softplus" or "relu".
    object_big
        Merge neighbouring patches before the physics.
    """

    mode: str = "Unsupervised"
    architecture: str = "lean"
    fno_modes: int = 12
    fno_width: int = 32
    fno_blocks: int = 4
    fno_cnn_blocks: int = 2
    learned_input_channels: int = 1
    max_hidden_channels: int | None = None
    resnet_width: int | None = None
    fno_input_transform: str = "none"
    generator_output_mode: str = "real_imag"
    cnn_output_mode: str = "amp_phase"
    spectral_bottleneck_blocks: int = 6
    spectral_bottleneck_modes: int = 12
    spectral_bottleneck_share_weights: bool = True
    spectral_bottleneck_gate_init: float = 0.1
    spectral_bottleneck_gate_mode: str = "shared"
    use_shared_decoder: bool = False
    intensity_scale_trainable: bool = False
    intensity_scale: float = 10000.0
    max_position_jitter: int = 10
    num_datasets: int = 1
    C_model: int = 4
    C_forward: int = 4
    n_filters_scale: int = 2
    amp_activation: str = "silu"
    batch_norm: bool = False
    probe_mask: Any = False
    probe_mask_tensor: Any = None
    probe_mask_sigma: float = 1.0
    probe_mask_diameter: float | None = None
    edge_pad: int = 10
    decoder_last_c_outer_fraction: float = 0.125
    decoder_last_amp_channels: int = 1
    use_legacy_decoder_channel_override: bool = False
    eca_encoder: bool = False
    cbam_encoder: bool = True
    cbam_bottleneck: bool = False
    cbam_decoder: bool = False
    eca_decoder: bool = False
    spatial_decoder: bool = False
    decoder_spatial_kernel: int = 7
    object_big: bool = True
    probe_big: bool = True
    offset: int = 6
    training_patch_weighting: str = "central_mask"
    physics_forward_mode: str = "amplitude"
    rect_s1s2_trainable: bool = True
    rect_s1s2_init: str = "ones"
    amplitude_physics_gain: float = 1.0
    pad_object: bool = True
    gaussian_smoothing_sigma: float = 0.0
    loss_function: str = "Poisson"
    amp_loss: str | None = None
    phase_loss: str | None = None
    amp_loss_coeff: float = 1.0
    phase_loss_coeff: float = 1.0
    probe_reference_coeff: float = 0.0
    amplitude_variance_loss: bool = False
    amplitude_variance_coeff: float = 0.01


@dataclass(slots=True)
class TrainingConfig:
    """Choices about the training.

    Attributes
    ----------
    nll
        Poisson likelihood; false: the amplitude error.
    device
        "cuda", "cpu", "mps" or "auto".
    strategy, n_devices
        How several devices share the work, and how many there are.
    warmup_epochs, min_lr_ratio
        What newer clients call lr_warmup_epochs and lr_min_ratio; None leaves those.
    scheduler
        A schedule by its name in `ptycho.config.training.TrainingConfig`, or "Cosine" for "WarmupCosine".

    The fields that `ptycho.config.training.TrainingConfig` has too mean the same here.
    """

    training_directories: list[str] = field(default_factory=list)
    nll: bool = True
    device: str = "cuda"
    strategy: str = "ddp"
    n_devices: int | str = 1
    framework: str = "Lightning"
    orchestrator: str = "Mlflow"
    learning_rate: float = 1e-3
    epochs: int = 50
    batch_size: int = 16
    epochs_fine_tune: int = 0
    fine_tune_gamma: float = 0.1
    scheduler: str = "Default"
    lr_warmup_epochs: int = 0
    lr_min_ratio: float = 0.1
    warmup_epochs: int | None = None
    min_lr_ratio: float | None = None
    plateau_factor: float = 0.5
    plateau_patience: int = 2
    plateau_min_lr: float = 5e-5
    plateau_threshold: float = 0.0
    num_workers: int = 4
    accum_steps: int = 1
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: str = "norm"
    optimizer: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    log_grad_norm: bool = False
    grad_norm_log_freq: int = 1
    stage_1_epochs: int = 0
    stage_2_epochs: int = 0
    stage_3_epochs: int = 0
    physics_weight_schedule: str = "cosine"
    stage_3_lr_factor: float = 0.1
    enable_staged_finetuning: bool = False
    finetune_stage1_epochs: int = 7
    finetune_stage2_epochs: int = 7
    finetune_stage3_epochs: int = 5
    finetune_stage1_lr_decoder: float = 0.1
    finetune_stage2_lr_encoder_top: float = 0.01
    finetune_stage2_lr_decoder: float = 0.05
    finetune_stage2_lr_phase_head: float = 0.1
    finetune_stage3_lr_encoder_bottom: float = 0.005
    finetune_stage3_lr_encoder_top: float = 0.01
    finetune_stage3_lr_decoder: float = 0.02
    finetune_stage3_lr_phase_head: float = 0.05
    finetune_skip_stage3: bool = True
    finetune_early_stop_patience: int = 3
    finetune_val_split: float = 0.05
    torch_loss_mode: str = "poisson"
    torch_mae_pred_l2_match_target: bool = False
    experiment_name: str = "Synthetic_Runs"
    notes: str = ""
    model_name: str = "PtychoPINNv2"
    train_data_file: Path | str | None = None
    test_data_file: Path | str | None = None
    output_dir: Path | str = "training_outputs"
    n_groups: int | None = None


@dataclass(slots=True)
class InferenceConfig:
    """Choices about the reconstruction.

    Attributes
    ----------
    batch_size
        Groups of patterns in one pass of the network, where memory allows it.
    """

    middle_trim: int = 32
    batch_size: int = 1000
    experiment_number: int = 0
    pad_eval: bool = True
    window: int = 20
    patch_weighting: str = "probe"
    varpro_scaling: bool = True
    log_patch_stats: bool = False
    patch_stats_limit: int | None = None


@dataclass(slots=True)
class DatagenConfig:
    """Choices about simulated training data in the older interface; none is read (see `ptycho simulate`)."""

    objects_per_probe: int = 4
    diff_per_object: int = 7000
    object_class: str = "dead_leaves"
    image_size: tuple[int, int] = (250, 250)
    probe_paths: list[str] = field(default_factory=list)
    beamstop_diameter: float = 4.0


Choices = DataConfig | ModelConfig | TrainingConfig | InferenceConfig | DatagenConfig


def update_existing_config(config: Choices, changes: Mapping[str, Any]) -> None:
    """Assign choices by name to a configuration; nothing is assigned when a name is unknown.

    Raises
    ------
    ConfigError
        With the name that is no choice, and the nearest one that is.
    """
    known = [choice.name for choice in fields(config)]
    unknown = [f"{name}{nearest(name, known)}" for name in changes if name not in known]
    if unknown:
        raise ConfigError(
            f"found {', '.join(unknown)} for {type(config).__name__}; expected names of its choices; "
            "correct or remove them"
        )
    for name, value in changes.items():
        setattr(config, name, value)

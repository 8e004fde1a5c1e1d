"""Choices about training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ptycho.config.groups import groups_from_alias
from ptycho.config.model import ModelConfig

Backend = Literal["pytorch", "tensorflow"]
DEFAULT_GROUPS = 512


@dataclass(slots=True)
class TrainingConfig:
    """What to train on, towards what, and for how long.

    Values may be assigned after construction; `ptycho.config.validate.validate_training` checks them when training
    starts.

    Attributes
    ----------
    model
        The network and the physics around it.
    train_data_file
        Scan to train on.
    test_data_file
        Scan kept apart, to reconstruct with the trained network.
    from_bundle
        Trained or pre-trained network whose weights training starts from; null for random ones.
    batch_size
        Patterns in one step when gridsize is 1, at least 1; groups of gridsize^2 patterns when it is larger.
    canvas_size
        Largest number of neighbouring patterns merged on one canvas, at least 1: a batch is as many contiguous regions
        of the scan as hold it, each with the groups of neighbouring seeds.
    nepochs
        Passes over the scan; at least 1.
    validation_fraction
        Part of the scan positions held out to watch the training, 0 to below 1; 0 for none.
    mae_weight
        Weight of the amplitude error, the mean of 2 (sqrt(expected + 3/8) - sqrt(measured + 3/8))^2, in
        [0, 1].
    nll_weight
        Weight of the Poisson likelihood in counts, in [0, 1].
    realspace_mae_weight
        Weight, inside the real-space term, of the mean deviation of the canvas; 0 or more.
    realspace_weight
        Multiplies the real-space term, 0 or more: total variation + realspace_mae_weight x mean deviation of the
        canvas.
    thinning
        Part of the counts, in [0, 1), that the network is not shown but judged by: every step splits them anew, and
        noise that it never saw twice can't be learnt. For counts only; 0 shows all counts and judges by the same.
    nphotons
        Mean counts of a frame, above 0; used only for a file of amplitudes that does not say it.
    n_groups
        Groups to draw from the scan when gridsize is larger than 1; null for 512. With gridsize 1 every
        pattern is used.
    n_images
        Deprecated name of n_groups.
    n_subsample
        Positions of the scan to keep, drawn at random before grouping; null for all.
    subsample_seed
        Seed of every draw in training: the kept positions, the groups, the first weights; null for 42.
    neighbor_count
        Nearest positions that the members of a group are drawn from, when gridsize is larger than 1; at least the
        gridsize^2 - 1 others of a group, whatever is asked for.
    enable_oversampling
        Allow more groups than scan positions.
    neighbor_pool_size
        Nearest positions to draw from when oversampling; null for neighbor_count.
    positions_provided
        The scan positions are known. A flag of the older interface; not read.
    probe_trainable
        Improve the probe while the network learns.
    intensity_scale_trainable
        Solve the global flux scale in closed form over the scan; false: it is fixed at 1, as it is for the "unrolled"
        network, whose object says how bright it is.
    output_dir
        Folder for everything that training writes.
    sequential_sampling
        Seed the groups from the first positions in the order of the scan, and do not shuffle.
    backend
        Engine. "pytorch" is this one; "tensorflow" is accepted from older clients, and this one does the work.
    torch_loss_mode
        "poisson": the sum that nll_weight and mae_weight describe; "mae": the amplitude error alone.
    torch_mae_pred_l2_match_target
        Before an amplitude error is taken, scale every predicted pattern to the measured pattern's L2 norm.
    gradient_clip_val
        Largest gradient (norm, or value) in a step; null for the engine's own 1.0, 0 switches clipping off.
    gradient_clip_algorithm
        Clip the norm of all gradients, every value, or each layer against its weights (adaptive).
    optimizer
        Optimiser of the network's weights.
    momentum
        Momentum of "sgd", in [0, 1).
    weight_decay
        Weight decay of the optimiser; 0 or more.
    adam_beta1
        Decay of the mean gradient in "adam" and "adamw", in [0, 1).
    adam_beta2
        Decay of the mean squared gradient in "adam" and "adamw", in [0, 1).
    scheduler
        Learning rate over the run. "Default": linear warm-up (lr_warmup_epochs), then a cosine down to lr_min_ratio;
        "WarmupCosine": the same by its name; "Exponential": a constant ratio from epoch to epoch, ending at
        lr_min_ratio; "ReduceLROnPlateau": the plateau_ choices.
    lr_warmup_epochs
        Epochs of linear warm-up, at most nepochs; 0 for 4 % of the run.
    lr_min_ratio
        Last learning rate divided by the largest, in (0, 1].
    plateau_factor
        Multiplies the learning rate when the validation loss stops falling, in (0, 1).
    plateau_patience
        Epochs without progress before that happens; 0 or more.
    plateau_min_lr
        Smallest learning rate that the plateau scheduler reaches; 0 or more.
    plateau_threshold
        Relative fall of the loss that counts as progress; 0 or more.
    """

    model: ModelConfig
    train_data_file: Path | None = None
    test_data_file: Path | None = None
    from_bundle: Path | None = None
    batch_size: int = 16
    canvas_size: int = 64
    nepochs: int = 50
    validation_fraction: float = 0.05
    mae_weight: float = 0.0
    nll_weight: float = 1.0
    realspace_mae_weight: float = 0.0
    realspace_weight: float = 0.0
    thinning: float = 0.0
    nphotons: float = 1e9
    n_groups: int | None = None
    n_images: int | None = None
    n_subsample: int | None = None
    subsample_seed: int | None = None
    neighbor_count: int = 4
    enable_oversampling: bool = False
    neighbor_pool_size: int | None = None
    positions_provided: bool = True
    probe_trainable: bool = False
    intensity_scale_trainable: bool = True
    output_dir: Path = Path("training_outputs")
    sequential_sampling: bool = False
    backend: Backend = "pytorch"
    torch_loss_mode: Literal["poisson", "mae"] = "poisson"
    torch_mae_pred_l2_match_target: bool = False
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: Literal["norm", "value", "agc"] = "norm"
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    scheduler: Literal["Default", "Exponential", "WarmupCosine", "ReduceLROnPlateau"] = "Default"
    lr_warmup_epochs: int = 0
    lr_min_ratio: float = 0.1
    plateau_factor: float = 0.5
    plateau_patience: int = 2
    plateau_min_lr: float = 5e-5
    plateau_threshold: float = 0.0

    def __post_init__(self) -> None:
        n_groups = groups_from_alias(self.n_groups, self.n_images)
        self.n_groups = DEFAULT_GROUPS if n_groups is None else n_groups

"""Choices about reconstruction with a trained network."""

from dataclasses import dataclass
from pathlib import Path

from ptycho.config.groups import groups_from_alias
from ptycho.config.model import ModelConfig
from ptycho.config.training import Backend


@dataclass(slots=True)
class InferenceConfig:
    """What to reconstruct, and with which trained network.

    Values may be assigned after construction; `ptycho.config.validate.validate_inference` checks them when the
    reconstruction starts.

    Attributes
    ----------
    model
        The network that the bundle holds; where the two differ the bundle wins.
    model_path
        Trained weights: a bundle, or a folder that holds ``wts.h5.zip``.
    test_data_file
        Scan to reconstruct.
    n_groups
        Groups to draw from the scan; null for all of it.
    n_images
        Deprecated name of n_groups.
    n_subsample
        Positions of the scan to keep, drawn at random before grouping; null for all.
    subsample_seed
        Seed of the kept positions and of the groups; null for 42.
    neighbor_count
        Nearest positions that the members of a group are drawn from; at least the gridsize^2 - 1 others of a group.
    enable_oversampling
        Allow more groups than scan positions.
    neighbor_pool_size
        Nearest positions to draw from when oversampling; null for neighbor_count.
    debug
        A flag of the older interface: say more while working.
    output_dir
        Folder for everything that the reconstruction writes.
    backend
        Engine. "pytorch" is this one; "tensorflow" is accepted from older clients, and this one does the work.
    """

    model: ModelConfig
    model_path: Path
    test_data_file: Path
    n_groups: int | None = None
    n_images: int | None = None
    n_subsample: int | None = None
    subsample_seed: int | None = None
    neighbor_count: int = 4
    enable_oversampling: bool = False
    neighbor_pool_size: int | None = None
    debug: bool = False
    output_dir: Path = Path("inference_outputs")
    backend: Backend = "pytorch"

    def __post_init__(self) -> None:
        self.n_groups = groups_from_alias(self.n_groups, self.n_images)

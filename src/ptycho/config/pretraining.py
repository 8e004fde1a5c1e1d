"""Choices about pre-training: what is simulated, and for how long a network learns from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ptycho.base.errors import ConfigError
from ptycho.config.checks import literals, number, whole
from ptycho.config.execution import PyTorchExecutionConfig, check_execution
from ptycho.config.model import Levels, ModelConfig
from ptycho.config.validate import validate_model


@dataclass(slots=True)
class PretrainingConfig:
    """Learning from simulated experiments that are never stored, before any scan is seen.

    Attributes
    ----------
    N
        Side of a diffraction pattern, px; a multiple of 8, at least 32. A network serves scans of this size.
    architecture
        "unrolled" sees the probe and works behind any like those simulated; "lean" has to be tuned on the scan.
    lean_width
        Width w of the network; at least 1, best a multiple of 16.
    lean_levels
        Its channels at N/2, N/4 and N/8: "slim", w/2, w and 4w; "even", w, 2w and 4w.
    passes
        How often the "unrolled" network goes over the object; at least 1.
    steps
        Steps of the optimiser; at least 1.
    minutes
        The run ends after this time though steps are left, above 0; null for no limit. The learning rate is at its end
        then.
    n_regions
        Experiments in a step, each with an object, a probe and a dose of its own; at least 1.
    n_members
        Neighbouring patterns of each, merged on one canvas; at least 1.
    fewest_photons
        Smallest mean counts of a frame behind a transparent object, above 0; doses are drawn evenly in their logarithm.
    most_photons
        Largest mean counts of a frame; at least fewest_photons.
    least_overlap
        Smallest overlap of neighbouring positions, fraction of the probe's diameter, 0 to below 1.
    most_overlap
        Largest overlap, from least_overlap to below 1.
    check_every
        Steps between two looks at experiments that are held out; at least 1.
    n_workers
        Processes that simulate beside the one that learns; 0 for none, null for one a core, up to 8.
    seed
        Of every draw: experiments and first weights; 0 or more.
    from_bundle
        Trained or pre-trained network whose weights pre-training starts from; null for random ones.
    output_dir
        Folder for everything that pre-training writes.
    """

    N: int = 64
    architecture: Literal["unrolled", "lean"] = "unrolled"
    lean_width: int = 32
    lean_levels: Levels = "slim"
    passes: int = 3
    steps: int = 50_000
    minutes: float | None = None
    n_regions: int = 8
    n_members: int = 16
    fewest_photons: float = 1e3
    most_photons: float = 1e9
    least_overlap: float = 0.5
    most_overlap: float = 0.85
    check_every: int = 500
    n_workers: int | None = None
    seed: int = 42
    from_bundle: Path | None = None
    output_dir: Path = Path("pretraining_outputs")

    @property
    def model(self) -> ModelConfig:
        """The network that these choices describe."""
        return ModelConfig(
            N=self.N,
            architecture=self.architecture,
            lean_width=self.lean_width,
            lean_levels=self.lean_levels,
            passes=self.passes,
        )


def validate_pretraining(config: PretrainingConfig, execution: PyTorchExecutionConfig | None = None) -> None:
    """Refuse a pre-training that can't start or can't learn.

    Raises
    ------
    ConfigError
        With the field, its value, what is accepted and what to do.
    """
    validate_model(config.model)
    literals(config)
    whole(config, "steps", "n_regions", "n_members", "check_every", least=1)
    whole(config, "n_workers", least=0, optional=True)
    whole(config, "seed", least=0)
    number(config, "minutes", above=0, optional=True)
    number(config, "fewest_photons", above=0)
    number(config, "most_photons", least=0, most=1e12)
    number(config, "least_overlap", "most_overlap", least=0, below=1)
    for least, most in (("fewest_photons", "most_photons"), ("least_overlap", "most_overlap")):
        low, high = getattr(config, least), getattr(config, most)
        if low > high:
            raise ConfigError(
                f"{least} is {low:g}, more than {most}, {high:g}; expected the smaller of both; exchange them"
            )
    if execution is not None:
        check_execution(execution)

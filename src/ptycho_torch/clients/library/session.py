"""The sets of choices of a client together, and the model that they describe."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ptycho.base.errors import ConfigError
from ptycho.config.checks import nearest
from ptycho.interop import torch_choices
from ptycho.interop.torch_choices import update_existing_config
from ptycho.interop.translate import gridsize_of
from ptycho_torch.clients.library.checkpoint import read_checkpoint
from ptycho_torch.clients.library.choices import Choices, choices_of
from ptycho_torch.clients.library.shell import PtychoPINN_Lightning
from ptycho_torch.persistence.bundle import write_bundle


@dataclass
class ConfigManager:
    """The five sets of choices, by the names under which clients pass them."""

    data_config: torch_choices.DataConfig = field(default_factory=torch_choices.DataConfig)
    model_config: torch_choices.ModelConfig = field(default_factory=torch_choices.ModelConfig)
    training_config: torch_choices.TrainingConfig = field(default_factory=torch_choices.TrainingConfig)
    inference_config: torch_choices.InferenceConfig = field(default_factory=torch_choices.InferenceConfig)
    datagen_config: torch_choices.DatagenConfig = field(default_factory=torch_choices.DatagenConfig)

    @classmethod
    def from_loaded_model(cls, ptycho_model: "PtychoModel") -> "ConfigManager":
        """Return the choices of a loaded model."""
        return cls(
            data_config=ptycho_model.data_config,
            model_config=ptycho_model.model_config,
            training_config=ptycho_model.training_config,
            inference_config=ptycho_model.inference_config,
        )

    def validate_arch_compatibility(self, ptycho_model: "PtychoModel") -> None:
        """Refuse a trained model that looks at another number of patterns at once than these choices say.

        Raises
        ------
        ConfigError
            With both numbers.
        """
        wanted, found = gridsize_of(self.data_config), ptycho_model.model.require_trained().config.model.gridsize
        if wanted != found:
            raise ConfigError(
                f"the network looks at groups of {found**2} patterns and C is {wanted**2}; expected the same; "
                f"set C to {found**2} and grid_size to {(found, found)}, or train another network"
            )

    def to_tuple(
        self,
    ) -> tuple[
        torch_choices.DataConfig,
        torch_choices.ModelConfig,
        torch_choices.TrainingConfig,
        torch_choices.InferenceConfig,
        torch_choices.DatagenConfig,
    ]:
        """Return the five sets: data, model, training, inference, data generation."""
        return (
            self.data_config,
            self.model_config,
            self.training_config,
            self.inference_config,
            self.datagen_config,
        )

    def update(self, **changes: Mapping[str, Any]) -> None:
        """Assign choices, such as ``update(training_config={"epochs": 3})``.

        Raises
        ------
        ConfigError
            A set or a choice is unknown.
        """
        sets = [choice_set.name for choice_set in fields(self)]
        for name, choices in changes.items():
            if name not in sets:
                raise ConfigError(
                    f"found {name!r}; expected one of {', '.join(sets)}; choose one of them{nearest(name, sets)}"
                )
            update_existing_config(getattr(self, name), choices)


class PtychoModel:
    """A model that a client may exchange; its choices are those of the ``model`` that it holds."""

    def __init__(
        self,
        model_config: torch_choices.ModelConfig,
        data_config: torch_choices.DataConfig,
        training_config: torch_choices.TrainingConfig,
        inference_config: torch_choices.InferenceConfig,
    ) -> None:
        self.model = PtychoPINN_Lightning(model_config, data_config, training_config, inference_config)

    @property
    def model_config(self) -> torch_choices.ModelConfig:
        """Choices of the network."""
        return self.model.model_config

    @property
    def data_config(self) -> torch_choices.DataConfig:
        """Choices of the data."""
        return self.model.data_config

    @property
    def training_config(self) -> torch_choices.TrainingConfig:
        """Choices of the training."""
        return self.model.training_config

    @property
    def inference_config(self) -> torch_choices.InferenceConfig:
        """Choices of the reconstruction."""
        return self.model.inference_config

    @classmethod
    def _of(cls, model: PtychoPINN_Lightning) -> "PtychoModel":
        made = cls(model.model_config, model.data_config, model.training_config, model.inference_config)
        made.model = model
        return made

    @classmethod
    def _new_model(cls, model: type[PtychoPINN_Lightning], config_manager: ConfigManager) -> "PtychoModel":
        """Return a model that is to be trained; ``model`` is the class of the one that it holds."""
        data, network, training, inference, _ = config_manager.to_tuple()
        return cls._of(model(network, data, training, inference))

    @staticmethod
    def _extract_configs_from_checkpoint(path: Path | str) -> Choices:
        """Return the choices (data, model, training, inference) that a checkpoint implies.

        Raises
        ------
        BundleError
            The file can't be used.
        """
        return choices_of(read_checkpoint(path).config)

    @classmethod
    def _load(cls, path: Path | str) -> "PtychoModel":
        """Return the trained model in a checkpoint.

        Raises
        ------
        BundleError
            The file can't be used.
        """
        return cls._of(PtychoPINN_Lightning.load_from_checkpoint(path))

    def save(self, path: Path | str) -> None:
        """Write the trained network to a checkpoint of this name, whole or not at all.

        Raises
        ------
        ConfigError
            It was not trained yet.
        """
        trained = self.model.require_trained()
        write_bundle(Path(path), trained.pinn, trained.config, trained.began_from)

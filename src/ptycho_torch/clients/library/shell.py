"""The model as a client holds it: its choices before training, its network after."""

from dataclasses import dataclass
from pathlib import Path

from ptycho.base.errors import ConfigError
from ptycho.config.training import TrainingConfig
from ptycho.interop import torch_choices
from ptycho_torch.clients.library.checkpoint import read_checkpoint
from ptycho_torch.clients.library.choices import choices_of
from ptycho_torch.pinn.pinn import PtychoPINN


@dataclass(frozen=True)
class Trained:
    """A trained network, the choices that made it, and the hash of the weights that it began from, if any."""

    pinn: PtychoPINN
    config: TrainingConfig
    began_from: str = ""


class PtychoPINN_Lightning:
    """A model by its four sets of choices; ``trained`` holds the network once there is one.

    Attributes
    ----------
    loss_name, val_loss_name
        What its losses are called among the metrics of a trainer.
    """

    loss_name = "train_loss"
    val_loss_name = "val_loss"

    def __init__(
        self,
        model_config: torch_choices.ModelConfig,
        data_config: torch_choices.DataConfig,
        training_config: torch_choices.TrainingConfig,
        inference_config: torch_choices.InferenceConfig,
    ) -> None:
        self.model_config = model_config
        self.data_config = data_config
        self.training_config = training_config
        self.inference_config = inference_config
        self.trained: Trained | None = None

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Path | str,
        *,
        model_config: torch_choices.ModelConfig | None = None,
        data_config: torch_choices.DataConfig | None = None,
        training_config: torch_choices.TrainingConfig | None = None,
        inference_config: torch_choices.InferenceConfig | None = None,
    ) -> "PtychoPINN_Lightning":
        """Read a checkpoint; nothing in it is executed. Choices that aren't given are those of the checkpoint.

        The network is the checkpoint's, whatever the choices say.

        Raises
        ------
        BundleError
            The file can't be used.
        """
        bundle = read_checkpoint(checkpoint_path)
        data, model, training, inference = choices_of(bundle.config)
        loaded = cls(
            model_config or model, data_config or data, training_config or training, inference_config or inference
        )
        loaded.trained = Trained(bundle.pinn, bundle.config, bundle.manifest.began_from)
        return loaded

    def require_trained(self) -> Trained:
        """Return the network and its choices.

        Raises
        ------
        ConfigError
            It was not trained yet.
        """
        if self.trained is None:
            raise ConfigError("the model has no network yet; expected a trained one; train it or load a checkpoint")
        return self.trained

"""Training as a client starts it."""

from typing import Any

from ptycho.base.errors import ConfigError
from ptycho_torch.clients.library.checkpoint import BEST
from ptycho_torch.clients.library.choices import training_of
from ptycho_torch.clients.library.loader import PtychoDataLoader
from ptycho_torch.clients.library.session import ConfigManager, PtychoModel
from ptycho_torch.clients.library.shell import Trained
from ptycho_torch.persistence.bundle import write_bundle
from ptycho_torch.training.fit import Run, prepare


class Trainer:
    """A training that is ready to start.

    Parameters
    ----------
    model
        The model that gets the trained network.
    run
        The training.
    """

    def __init__(self, model: PtychoModel, run: Run) -> None:
        self._model = model
        self._run = run

    @property
    def _trainer(self) -> Any:
        """The trainer of Lightning, to whose ``callbacks`` a client adds its own before it trains."""
        return self._run.trainer

    @classmethod
    def _from_lightning(
        cls, model: PtychoModel, dataloader: PtychoDataLoader, orchestration: str, config_manager: ConfigManager
    ) -> "Trainer":
        """Return the training of a model on the scans of a loader, as the choices say.

        Raises
        ------
        ConfigError, DataError
            A choice or a scan can't be used.
        """
        _check_orchestration(orchestration)
        config, execution = training_of(
            config_manager.data_config,
            config_manager.model_config,
            config_manager.training_config,
            dataloader.training,
            train_file=dataloader.train_file,
            test_file=dataloader.test_file,
            folder=dataloader.output_dir,
        )
        run = prepare(config, execution, dataloader.training, dataloader.validation, folder=dataloader.output_dir)
        return cls(model, run)

    def train(self, orchestration: str = "lightning", experiment_name: str = "") -> None:
        """Train; the network goes to the model, and to ``checkpoints/best-checkpoint.ckpt`` in the folder of the run.

        ``experiment_name`` is accepted from clients: the folder of the run has its name already.

        Raises
        ------
        ConfigError
            Training diverged.
        """
        _check_orchestration(orchestration)
        done = self._run.train()
        config = self._run.module.config
        self._model.model.trained = Trained(done.pinn, config, done.began_from)
        assert self._run.folder is not None
        write_bundle(self._run.folder / BEST, done.pinn, config, done.began_from)


def _check_orchestration(orchestration: str) -> None:
    if orchestration.lower() != "lightning":
        raise ConfigError(f"orchestration is {orchestration!r}; expected 'lightning'; choose it")

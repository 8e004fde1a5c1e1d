"""The steps of training, for Lightning."""

from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.base.recording import CudaGraphs
from ptycho_torch.data.batch import Step
from ptycho_torch.data.thinning import RegionThinning
from ptycho_torch.networks.unet import ResidualUNet
from ptycho_torch.objectives.objective import Objective
from ptycho_torch.pinn.build import loss_of, objective_of
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.processes.world import ALONE, World
from ptycho_torch.training.clipping import clip, clip_algorithm, clip_limit
from ptycho_torch.training.compiled import CompiledBody, pays
from ptycho_torch.training.schedules import make_optimizer, make_scheduler
from ptycho_torch.training.whole_step import Taken, WholeStep

# Held-out patterns are judged by the variance-stabilised error: a likelihood would hear the brightest pixels only.
JUDGE = Objective(poisson=0.0, amplitude=1.0)


class PtychoModule(lightning.LightningModule):
    """Training of one network on one scan.

    The data module holds the patterns, once and on the device; a batch is a `Step` of indices into them.

    Parameters
    ----------
    pinn
        The network joined with its physics.
    config, execution
        Losses and schedule; learning rate.
    monitor
        The logged loss that a plateau schedule watches: "val_loss", or "train_loss" without validation.
    world
        The processes that share every step.
    """

    def __init__(
        self,
        pinn: PtychoPINN,
        config: TrainingConfig,
        execution: PyTorchExecutionConfig,
        monitor: str,
        world: World = ALONE,
    ) -> None:
        super().__init__()
        self.world = pinn.world = world
        self.pinn = pinn
        self.config = config
        self.execution = execution
        self.monitor = monitor
        # Sum over the patterns that this process has seen of an epoch so far of their loss, and their number.
        self.seen = torch.zeros(2)
        # What the network predicted in the last step.
        self.patches = torch.empty(0)
        self.whole: WholeStep | None = None
        self.plateau: ReduceLROnPlateau | None = None
        self._plateau_state: dict[str, Any] = {}

    def on_fit_start(self) -> None:
        """Put the scans on the device, once, and begin with the same weights everywhere."""
        for tensor in self.state_dict().values():
            self.world.agree(tensor)
        data = self.trainer.datamodule
        data.load(self.device)
        model, share = self.config.model, self.config.thinning
        self.thinning = RegionThinning(share, self.device) if share else None
        objective = objective_of(self.config)
        self.training_loss = loss_of(model, data.training, data.training_scan, objective, self.thinning, self.world)
        self.validation_loss = loss_of(model, data.validation, data.validation_scan, JUDGE, self.thinning, self.world)
        self._listening = self.pinn.network.register_forward_hook(self._keep_patches)

    def on_train_start(self) -> None:
        """Take steps as a whole where they are the same work every time."""
        self.seen = self.seen.to(self.device)
        self.pinn.settle()
        if self._records():
            draws = [] if self.thinning is None else self.thinning.draws
            self.whole = WholeStep(self._take, self.optimizers(use_pl_optimizer=False), CudaGraphs(self.device), draws)
            network = self.pinn.network
            if isinstance(network, ResidualUNet) and pays(self.config, int(self.trainer.estimated_stepping_batches)):
                network.said = CompiledBody(network)

    def on_train_end(self) -> None:
        """Leave the network as it was."""
        self._listening.remove()
        self.pinn.settled = None
        vars(self.pinn.network).pop("said", None)

    def training_step(self, step: Step, index: int) -> Tensor:
        """Return the loss of one batch."""
        self._seed(step, self.trainer.datamodule.seed, self.current_epoch, index)
        if self.whole is None:
            loss = self._loss(step)
        else:
            taken = self.whole(step)
            loss, self.patches = taken.loss, taken.patches
        if self.trainer.is_last_batch:
            losses, number = self.world.sum(self.seen)
            self.log("train_loss", losses / number, on_step=False, on_epoch=True, batch_size=1)
            self.seen.zero_()
        return loss

    def backward(self, loss: Tensor, *_: Any, **__: Any) -> None:
        """Find the gradients; a step that is taken as a whole has done it."""
        if self.whole is None:
            self._find_gradients(loss)

    def optimizer_zero_grad(self, _epoch: int, _index: int, optimizer: Optimizer) -> None:
        """Forget the gradients, where the step does not do that itself."""
        if self.whole is None:
            optimizer.zero_grad()

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Take a step; as a whole it is all in the closure, which Lightning counts."""
        if self.whole is None:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        else:
            optimizer_closure()

    def _records(self) -> bool:
        """Return whether GPUs do the same work in every step, and nothing is read back or fetched meanwhile.

        All processes answer alike: one that launched its steps would add up in another order than those that record.
        """
        machine, scan = self.execution, self.trainer.datamodule.training_scan
        here = self.device.type == "cuda" and isinstance(scan.patterns, Tensor)
        here &= machine.accum_steps == 1 and machine.precision != "16-mixed" and self.config.optimizer != "sgd"
        return not self.world.any(not here)

    def _take(self, step: Step) -> Taken:
        """Take a step: what Lightning does in the order in which it does it, without asking whether anybody listens."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        # Lightning has switched the precision of the network on, which is not that of the rest.
        with torch.autocast(self.device.type, enabled=False):
            optimizer.zero_grad()
            with self.trainer.precision_plugin.train_step_context():
                loss = self._loss(step)
            self._find_gradients(loss)
            self.configure_gradient_clipping(optimizer)
            optimizer.step()
        return Taken(loss.detach(), self.patches)

    def _find_gradients(self, loss: Tensor) -> None:
        """Find the gradients of the mean loss of all processes; what was found before is the same everywhere."""
        loss.backward()
        self.world.average([parameter.grad for parameter in self.parameters() if parameter.grad is not None])

    def _loss(self, step: Step) -> Tensor:
        """Return the loss of a step, and add it to those of the epoch."""
        loss = self.training_loss(self.pinn, step)
        self.seen.add_(torch.stack([loss.detach().float(), loss.new_ones(())]), alpha=step.numel())
        return loss

    def _keep_patches(self, network: torch.nn.Module, _seen: Any, patches: Tensor) -> None:
        if network.training:
            self.patches = patches.detach()

    def validation_step(self, step: Step, index: int) -> None:
        """Log how well held-out patterns are explained, or how near their patches are to the labels.

        Where counts are split, these are too, in every epoch alike: who repeats noise shall not look better for it.
        """
        self._seed(step, index)
        loss = self.validation_loss(self.pinn, step)
        self.log("val_loss", loss, on_epoch=True, batch_size=step.numel(), sync_dist=True)

    def _seed(self, step: Step, *of_step: int) -> None:
        """Seed what is drawn for the regions of a step: the same whoever takes them."""
        if self.thinning is not None:
            first = self.world.rank * len(step.groups)
            self.thinning.seed([hash((*of_step, first + region)) for region in range(len(step.groups))])

    def on_train_epoch_end(self) -> None:
        """Let the loss of the epoch decide the learning rate: here, before its state is kept."""
        if self.plateau is not None:
            self.plateau.step(float(self.trainer.callback_metrics[self.monitor]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what a run that goes on inside an epoch must know, and whether anything is left to do."""
        epochs = self.trainer.fit_loop.epoch_progress.current.processed
        checkpoint["finished"] = self.trainer.should_stop or epochs >= self.trainer.max_epochs
        checkpoint["seen"] = self.world.gather(self.seen[None], self.world.size)
        checkpoint["plateau"] = {} if self.plateau is None else self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the epoch."""
        self.seen = checkpoint["seen"].view(-1, 2)[self.world.rank]
        self._plateau_state = checkpoint["plateau"]

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip gradients as configured; Lightning itself would refuse to for an optimiser of one kernel."""
        limit = clip_limit(self.config, self.execution)
        clip(list(self.parameters()), limit, clip_algorithm(self.config, self.execution))

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the configured optimiser and schedule."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = make_optimizer(parameters, self.config, self.execution)
        scheduler = make_scheduler(optimizer, self.config, int(self.trainer.estimated_stepping_batches))
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.load_state_dict(self._plateau_state)
            self.plateau = scheduler
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

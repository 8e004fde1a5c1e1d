"""From configuration to modules: the only reader of configurations below training."""

from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from ptycho.acquisition.acquisition import Acquisition
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho_torch.data.scan import Scan
from ptycho_torch.data.thinning import RegionThinning
from ptycho_torch.networks.registry import NETWORKS, NetworkChoices
from ptycho_torch.objectives.objective import Objective
from ptycho_torch.physics.forward import probe_weight
from ptycho_torch.physics.illumination import soft_disk
from ptycho_torch.physics.propagation import FarField
from ptycho_torch.physics.scaling import input_scale, probe_to_counts
from ptycho_torch.pinn.labels import labels_of
from ptycho_torch.pinn.loss import CountLoss, LabelLoss, Loss
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.pinn.unrolled import UnrolledPINN
from ptycho_torch.processes.world import ALONE, World

# Share of the light of the probe that the trusted pixels are taken to have seen at least.
LEAST_SEEN = 1e-2


@dataclass(frozen=True)
class Constants:
    """What the training scan fixes for ever: the probe (mode, y, x), sqrt(counts), and the factor on sqrt(counts)."""

    probe: Complex64[Tensor, "mode y x"]
    input_scale: float

    @staticmethod
    def of(
        acquisition: Acquisition, support: Float32[Tensor, "y x"] | float = 1.0, *, whole_detector: bool = False
    ) -> "Constants":
        """Return the constants of a training scan: its probe carries its mean counts, its mean pattern N^2 / 4.

        ``support`` multiplies the probe first. With ``whole_detector`` the probe carries what the pixels that can't be
        trusted would have counted too, behind a transparent object: the object is about 1 behind a beam stop as well.
        """
        mean_counts = float(acquisition.counts_per_frame().mean())
        probe = probe_to_counts(torch.as_tensor(acquisition.probe) * support, mean_counts)
        if whole_detector and not acquisition.mask.all():
            pattern = probe_weight(FarField()(probe))
            seen = pattern[torch.as_tensor(acquisition.mask)].sum() / pattern.sum()
            probe = probe / seen.clamp_min(LEAST_SEEN).sqrt()
        return Constants(probe, input_scale(mean_counts, acquisition.size))

    @staticmethod
    def for_network(model: ModelConfig, acquisition: Acquisition) -> "Constants":
        """Return the constants of a training scan that a network of the configured kind wants."""
        sees_mask = NETWORKS[model.architecture].looks_at == "residual"
        return Constants.of(acquisition, probe_support(model), whole_detector=sees_mask)

    @staticmethod
    def of_probe(probe: Complex64[Tensor, "mode y x"]) -> "Constants":
        """Return the constants of a scan whose probe carries its mean counts."""
        return Constants(probe, input_scale(float(probe_weight(probe).sum()), probe.shape[-1]))


def probe_support(model: ModelConfig) -> Float32[Tensor, "y x"] | float:
    """Return what multiplies the probe: the configured disk, or 1."""
    if not model.probe_mask:
        return 1.0
    return soft_disk(model.N, model.probe_mask_diameter or model.N / 2, model.probe_mask_sigma)


def build(model: ModelConfig, training: TrainingConfig, constants: Constants) -> PtychoPINN:
    """Return a network of the configured kind, joined with its physics; weights come from torch's generator."""
    channels = model.gridsize**2
    kind = NETWORKS[model.architecture]
    network = kind.make(
        NetworkChoices(
            size=model.N,
            channels=channels,
            lean_width=model.lean_width,
            lean_levels=model.lean_levels,
            filter_scale=model.n_filters_scale,
            amplitude_activation=model.amp_activation,
            pad_object=model.pad_object,
            border=model.probe_big,
        )
    )
    network = network.to(memory_format=torch.channels_last)
    if kind.looks_at == "residual":
        return UnrolledPINN(
            network, constants.probe, constants.input_scale, passes=model.passes, overlapping=model.object_big
        )
    return PtychoPINN(
        network,
        constants.probe,
        constants.input_scale,
        channels,
        overlapping=model.object_big,
        back_projected=kind.looks_at == "back projection",
        probe_trainable=training.probe_trainable and not learns_from_labels(model),
        flux_solved=training.intensity_scale_trainable,
    )


def learns_from_labels(model: ModelConfig) -> bool:
    """Return whether training compares patches with labels, and not expected counts with the measurement."""
    return model.model_type == "supervised"


def loss_of(
    model: ModelConfig,
    acquisition: Acquisition,
    scan: Scan,
    objective: Objective,
    thinning: RegionThinning | None = None,
    world: World = ALONE,
) -> Loss:
    """Return what is minimised over a scan: ``objective`` over its counts, or the distance from its labels.

    ``scan`` is the acquisition on its device, ``thinning`` how its counts are split, if they are, and ``world`` the
    processes that share a batch.
    """
    if learns_from_labels(model):
        device = scan.positions.device
        light = probe_weight(torch.as_tensor(acquisition.probe, device=device))
        return LabelLoss.of(scan, labels_of(acquisition, device), light, world)
    return CountLoss(scan, objective, thinning, world)


def objective_of(training: TrainingConfig) -> Objective:
    """Return the loss that the weights of a configuration describe."""
    amplitude_only = training.torch_loss_mode == "mae"
    return Objective(
        poisson=0.0 if amplitude_only else training.nll_weight,
        amplitude=training.mae_weight or float(amplitude_only),
        real_space=training.realspace_weight,
        deviation=training.realspace_mae_weight,
        match_norm=training.torch_mae_pred_l2_match_target,
    )

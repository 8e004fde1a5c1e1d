"""Archives of the older software to bundles: weights as they are, probe and scale from the scan of the training.

What the older network saw and said, with A the amplitude in its scan file and P the probe in it:

    X = A (N / 2) / sqrt(mean sum A^2)              what it saw, in any exposure; mean energy N^2 / 4
    Q = P / (probe_scale mean |M P|)                its probe; M is a disk of radius N / 4
    s |F(Q O)| = s X,  s = sqrt(nphotons) / (N / 2)   what it learned: amplitude of its patches O

Ours sees input_scale sqrt(counts) and says counts = |F(P' O)|^2. With mean counts n of the scan, sqrt(counts) is
sqrt(n) / (N / 2) X, so that input_scale = (N / 2) / sqrt(n) shows the network what it saw, and
P' = sqrt(n) / (N / 2) Q makes the amplitude of its patches, as it is, explain the counts.

The archive's s says the same when nphotons was the truth: sqrt(n) / (N / 2) = s. Where the scan file does not say what
its counts are, s decides them; where it does, the measured counts do, because s was often left at a default that the
network never saw: X does not depend on it.
"""

import logging
from dataclasses import replace
from pathlib import Path

import torch

from ptycho.acquisition.acquisition import Acquisition
from ptycho.base.errors import BundleError, BundleNotFoundError, ConfigError, DataError
from ptycho.base.printable import listed
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_training
from ptycho.optics.probe import normalised_probe
from ptycho_torch.persistence.bundle import MEMBERS
from ptycho_torch.persistence.keras_archive import MODEL as KERAS_MODEL
from ptycho_torch.persistence.keras_archive import read_keras_archive
from ptycho_torch.persistence.older_network import ADVICE, OlderNetwork
from ptycho_torch.persistence.torch_archive import MODEL as TORCH_MODEL
from ptycho_torch.persistence.torch_archive import read_torch_archive
from ptycho_torch.persistence.zips import open_zip
from ptycho_torch.physics.scaling import input_scale
from ptycho_torch.pinn.build import Constants, build
from ptycho_torch.pinn.pinn import PtychoPINN

logger = logging.getLogger(__name__)

# Archives and scans whose counts differ by more than this share were not about the same counts.
SAME_COUNTS = 0.05


def read_archive(file: Path) -> OlderNetwork:
    """Read the network of an older archive, of TensorFlow or of the PyTorch port.

    Raises
    ------
    BundleError
        The file is missing, damaged, no such archive, or its network can't be carried over.
    """
    if file.is_dir():
        raise BundleError(f"{file} is a folder; expected an archive; give the wts.h5.zip in it")
    if not file.is_file():
        raise BundleNotFoundError(f"{file} does not exist; expected an archive of the older software; {ADVICE}")
    with open_zip(file, str(file), ADVICE) as archive:
        names = archive.namelist()
    if KERAS_MODEL in names:
        return read_keras_archive(file)
    if TORCH_MODEL in names:
        return read_torch_archive(file)
    if set(MEMBERS) <= set(names):
        raise BundleError(f"{file} is a bundle already; expected an archive of the older software; use it as it is")
    raise BundleError(f"{file} holds {listed(names)}; expected {KERAS_MODEL} or {TORCH_MODEL}; {ADVICE}")


def photons(network: OlderNetwork) -> float | None:
    """Return the mean counts of a frame that an archive states, (s N / 2)^2, or None where it doesn't."""
    scale = network.intensity_scale
    return None if scale is None else (scale * network.model.N / 2) ** 2


def choose_activation(network: OlderNetwork, asked: str | None) -> str:
    """Return the activation of the amplitude: what the archive states, else what was asked for, else sigmoid.

    Raises
    ------
    ConfigError
        The archive states another one than was asked for.
    """
    stated = network.activation
    if stated is not None and asked not in (None, stated):
        raise ConfigError(
            f"amp_activation is {asked!r}; expected {stated!r}, which the archive states; leave --amp_activation out"
        )
    if stated is None and asked is None:
        logger.warning(
            "the archive doesn't say how its amplitude ends: sigmoid is taken; give --amp_activation if it was another"
        )
    return stated or asked or "sigmoid"


def carry_over(
    network: OlderNetwork, scan: Acquisition, *, probe_scale: float, amp_activation: str
) -> tuple[PtychoPINN, TrainingConfig]:
    """Return an older network joined with the probe and the counts of its training scan, and its choices.

    Parameters
    ----------
    network
        What was read from the archive.
    scan
        The scan that it was trained on.
    probe_scale
        Choice of the same name in that training.
    amp_activation
        How its amplitude ends.

    Raises
    ------
    DataError
        The scan has another pattern size than the network, or a probe without light in its middle.
    """
    size = network.model.N
    if scan.size != size:
        raise DataError(
            f"patterns are {scan.size} x {scan.size} px but the network of the archive sees {size} x {size}; "
            "give the scan that it was trained on"
        )
    mean_counts = float(scan.counts_per_frame().mean())
    stated = photons(network)
    if stated is not None and abs(stated / mean_counts - 1) > SAME_COUNTS:
        logger.info(
            "the archive states %.6g counts a frame, the scan holds %.6g: those of the scan are used, as the network "
            "saw them normalised",
            stated,
            mean_counts,
        )
    factor = input_scale(mean_counts, size)
    probe = torch.from_numpy(normalised_probe(scan.probe, probe_scale)) / factor
    model = replace(network.model, amp_activation=amp_activation, probe_scale=probe_scale)
    config = TrainingConfig(model, nphotons=mean_counts)
    config.neighbor_count = max(config.neighbor_count, model.gridsize**2 - 1)
    validate_training(config)
    pinn = build(model, config, Constants(probe, factor))
    pinn.network.load_state_dict(network.weights)
    return pinn.eval(), config

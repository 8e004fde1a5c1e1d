"""Reconstruction as a client starts it."""

import logging

import numpy as np
import torch
from jaxtyping import Complex64
from numpy import ndarray

from ptycho.base.arrays import Object
from ptycho.interop.frames import on_grid
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.clients.library.choices import accelerator_of
from ptycho_torch.clients.library.loader import PtychoDataLoader, ScanOnGrid
from ptycho_torch.clients.library.session import ConfigManager, PtychoModel
from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.reconstruct import check_size, exposure, reconstruct
from ptycho_torch.inference.solve import groups_of

logger = logging.getLogger(__name__)

# Detector pixels in one pass of the network; the layers need a few hundred bytes for each.
MOST_PIXELS = 2**22


class InferenceEngine:
    """Reconstructs scans with a trained model."""

    def __init__(self, config_manager: ConfigManager, ptycho_model: PtychoModel) -> None:
        self.config_manager = config_manager
        self.ptycho_model = ptycho_model

    def predict_and_stitch(self, loader: ScanOnGrid | PtychoDataLoader) -> Object:
        """Return the object (height, width) that the network sees in a scan, on the pixels of the client's object.

        What the scan doesn't cover is 0.

        Raises
        ------
        ConfigError
            The model was not trained yet.
        DataError
            The patterns have another size than the network's.
        """
        trained = self.ptycho_model.model.require_trained()
        scan = _scan(loader)
        found = reconstruct(
            trained.pinn,
            scan.acquisition,
            device=self._device(),
            batch_size=self._batch_size(scan.acquisition.size, trained.pinn.channels),
            n_neighbours=trained.config.neighbor_count,
        ).final
        return on_grid(found.object_, found.origin, scan.object_shape)

    @torch.no_grad()
    def predict(self, loader: ScanOnGrid | PtychoDataLoader) -> Complex64[ndarray, "position y x"]:
        """Return the patch that the network sees in every pattern of a scan, before they are stitched.

        Raises
        ------
        ConfigError
            The model was not trained yet.
        DataError
            The patterns have another size than the network's.
        """
        trained = self.ptycho_model.model.require_trained()
        acquisition, device = _scan(loader).acquisition, self._device()
        check_size(trained.pinn, acquisition)
        pinn = trained.pinn.to(device).eval()
        scan, flux = Scan.of(acquisition, device), exposure(pinn, acquisition)
        patches = np.empty(acquisition.patterns.shape, np.complex64)
        groups = groups_of(acquisition.positions, pinn.channels, trained.config.neighbor_count)
        for some in groups.split(self._batch_size(acquisition.size, pinn.channels)):
            found = pinn.predict(scan.counts(some.reshape(-1).to(device)) / flux)
            patches[some[:, 0]] = found[:: pinn.channels].cpu().numpy()
        return patches

    def _device(self) -> torch.device:
        return resolve_device(accelerator_of(self.config_manager.training_config.device))

    def _batch_size(self, size: int, channels: int) -> int:
        wanted, most = self.config_manager.inference_config.batch_size, max(1, MOST_PIXELS // (channels * size**2))
        if wanted > most:
            logger.info("batch_size is %d: %d groups go through the network at once, to save memory", wanted, most)
        return min(wanted, most)


def _scan(loader: ScanOnGrid | PtychoDataLoader) -> ScanOnGrid:
    return loader.scan if isinstance(loader, PtychoDataLoader) else loader

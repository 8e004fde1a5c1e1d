"""A trained network as older clients call it: channel-last arrays in, channel-last arrays out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ptycho.base.errors import DataError
from ptycho.interop.frames import Members, MergedPatches, merged
from ptycho_torch.base.devices import resolve_device
from ptycho_torch.inference.predict import merge_groups
from ptycho_torch.physics.forward import probe_weight
from ptycho_torch.pinn.pinn import PtychoPINN


class Predictor:
    """Groups of amplitudes and their offsets -> one object for every group.

    Parameters
    ----------
    pinn
        The trained network with its probe.
    """

    def __init__(self, pinn: PtychoPINN) -> None:
        self.pinn = pinn

    def predict(self, inputs: Sequence[Any], batch_size: int = 32, verbose: Any = None) -> MergedPatches:
        """Return the object of every group, (group, y, x, 1) complex64, its patches merged by the light on them.

        Parameters
        ----------
        inputs
            ``[X * intensity_scale, local_offsets]``: normalised amplitude (group, y, x, member) times the scale of the
            trained network, and minus the distance of every member to the centre of its group (group, 1, 2, member),
            [x, y] px.
        batch_size
            Groups in one pass of the network.
        verbose
            Accepted from older scripts.

        Raises
        ------
        DataError
            The groups have another pattern size, or another number of members, than those that the network knows, or
            their offsets are of other groups.
        """
        if len(inputs) != 2:
            raise DataError(f"found {len(inputs)} inputs, expected [X * intensity_scale, local_offsets]; give both")
        scaled, offsets = (np.asarray(array) for array in inputs)
        size, channels = int(self.pinn.probe.shape[-1]), self.pinn.channels
        if scaled.ndim != 4 or scaled.shape[1:] != (size, size, channels):
            raise DataError(
                f"found groups of shape {scaled.shape[1:]}, expected ({size}, {size}, {channels}): the network was "
                f"trained on patterns of {size} px with gridsize {round(channels**0.5)}; group the scan like that"
            )
        if offsets.shape != (len(scaled), 1, 2, channels) or len(scaled) == 0:
            raise DataError(
                f"found offsets of shape {offsets.shape} for {len(scaled)} groups, expected ({len(scaled)}, 1, 2, "
                f"{channels}) and at least one group; give the local_offsets of the same container"
            )
        pinn = self.pinn.to(resolve_device("auto")).eval()
        amplitude = np.moveaxis(scaled, -1, 1).astype(np.float32) / np.float32(pinn.intensity_scale)
        relative: NDArray[np.float64] = -np.moveaxis(offsets[:, 0].astype(np.float64), 1, -1)[..., ::-1]
        objects, patches = merge_groups(
            pinn, torch.from_numpy(amplitude), torch.from_numpy(np.ascontiguousarray(relative)), batch_size=batch_size
        )
        light = probe_weight(pinn.probe.detach()).cpu().numpy()
        return merged(objects.numpy()[..., None], Members(patches.numpy(), relative, light))

    __call__ = predict

"""The probe as every frame of a scan sees it, and how it changes with what is assumed of it."""

from collections.abc import Set

import torch
from jaxtyping import Complex64, Int64
from torch import Tensor

from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.physics.subpixel import SubpixelShift

# Parts of an estimate that the probe of a frame depends on.
PARTS = frozenset({"probe", "positions", "gain", "variations", "weights"})


class FrameProbes:
    """P_jm = g_j S_j[P_m + sum_k a_jk V_k (m = 0)] of some frames, S_j being the shift by their sub-pixel remainders.

    Parameters
    ----------
    at
        The estimate.
    frames
        Numbers of the frames in the scan.
    place
        Their shifts S_j.
    """

    def __init__(self, at: Estimate, frames: Int64[Tensor, " frame"], place: SubpixelShift) -> None:
        self.at = at
        self.frames = frames
        self.place = place
        self.gain = None if at.gain is None else at.gain[frames, None, None, None]
        self.unit_spectra = place.ramps[:, None] * self._spectra(at)
        self.spectra = self.unit_spectra if self.gain is None else self.gain * self.unit_spectra
        self.fields = torch.fft.ifft2(self.spectra)

    def _spectra(self, at: Estimate) -> Complex64[Tensor, "_ mode y x"]:
        """Return the Fourier transforms of the modes before any shift."""
        spectra = torch.fft.fft2(at.probe)[None]
        if at.variations is None:
            return spectra
        assert at.weights is not None
        change = self._combined(at.weights, torch.fft.fft2(at.variations))
        return torch.cat([spectra[:, :1] + change[:, None], spectra[:, 1:].expand(len(change), -1, -1, -1)], dim=1)

    def _combined(self, weights: Tensor, variations: Tensor) -> Complex64[Tensor, "frame y x"]:
        return torch.einsum("fv,vyx->fyx", weights[self.frames].to(variations.dtype), variations)

    def change(self, along: Estimate, free: Set[str]) -> Complex64[Tensor, "frame mode y x"]:
        """Return how the probes change along a direction whose ``free`` parts alone count, to first order."""
        spectra = torch.zeros_like(self.spectra)
        if "probe" in free:
            spectra = spectra + self._placed(torch.fft.fft2(along.probe)[None])
        if "variations" in free:
            changed = self._combined(self.at.weights, torch.fft.fft2(along.variations))
            spectra[:, :1] += self._placed(changed[:, None])
        if "weights" in free:
            changed = self._combined(along.weights, torch.fft.fft2(self.at.variations))
            spectra[:, :1] += self._placed(changed[:, None])
        if "positions" in free:
            step = along.positions[self.frames].to(torch.float32)
            turns = step[:, 0, None, None] * self._frequency[:, None] + step[:, 1, None, None] * self._frequency
            spectra = spectra - 2j * torch.pi * turns[:, None] * self.spectra
        if "gain" in free:
            spectra = spectra + along.gain[self.frames, None, None, None] * self.unit_spectra
        return torch.fft.ifft2(spectra)

    def add_gradient(self, gradient: Estimate, back: Complex64[Tensor, "frame mode y x"], free: Set[str]) -> None:
        """Add to the ``free`` parts of a gradient what follows from that with respect to the probes.

        The adjoint of `change`; ``back`` is P -> sum_j Re <back_j, P_j>.
        """
        seen = torch.fft.fft2(back)
        n_pixels = seen.shape[-1] * seen.shape[-2]
        if "positions" in free:
            pairs = (self.spectra.conj() * seen).imag.sum(dim=1) * (-2 * torch.pi / n_pixels)
            slopes = [pairs.sum(dim=2) @ self._frequency, pairs.sum(dim=1) @ self._frequency]
            gradient.positions[self.frames] = torch.stack(slopes, dim=1).to(gradient.positions.dtype)
        if "gain" in free:
            gradient.gain[self.frames] = (self.unit_spectra.conj() * seen).real.sum(dim=(1, 2, 3)) / n_pixels
        home = self.at_home(seen)
        if "probe" in free:
            gradient.probe.add_(torch.fft.ifft2(home.sum(dim=0)))
        if free & {"variations", "weights"}:
            main = torch.fft.ifft2(home[:, 0])
        if "variations" in free:
            gradient.variations.add_(torch.einsum("fv,fyx->vyx", self.at.weights[self.frames].to(main.dtype), main))
        if "weights" in free:
            gradient.weights[self.frames] = torch.einsum("vyx,fyx->fv", self.at.variations.conj(), main).real

    def at_home(self, spectra: Complex64[Tensor, "frame mode y x"]) -> Complex64[Tensor, "frame mode y x"]:
        """Return the adjoint of shift and gain, in Fourier space: what the frames see, brought to the common probe."""
        home = self.place.ramps.conj()[:, None] * spectra
        return home if self.gain is None else self.gain * home

    def slopes(self) -> Complex64[Tensor, "2 frame mode y x"]:
        """Return the derivatives of the probes with respect to their positions (y, x)."""
        turns = -2j * torch.pi * self._frequency
        return torch.fft.ifft2(torch.stack([turns[:, None] * self.spectra, turns * self.spectra]))

    def _placed(self, spectra: Tensor) -> Tensor:
        placed = self.place.ramps[:, None] * spectra
        return placed if self.gain is None else self.gain * placed

    @property
    def _frequency(self) -> Tensor:
        return torch.fft.fftfreq(self.fields.shape[-1], device=self.fields.device)

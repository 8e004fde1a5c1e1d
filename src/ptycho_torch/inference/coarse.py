"""The same scan with pixels twice as large: a quarter of the work, and coarse shape comes first."""

from dataclasses import replace

import torch
from jaxtyping import Complex64, Shaped
from torch import Tensor
from torch.nn import functional

from ptycho_torch.data.scan import Scan
from ptycho_torch.inference.estimate import Estimate
from ptycho_torch.inference.likelihood import Likelihood
from ptycho_torch.physics.forward import Placement


def coarser_scan(scan: Scan, placement: Placement) -> tuple[Scan, Placement]:
    """Return what the middle half of the detector saw, and where its patches lie on a canvas of half the size.

    An exit wave whose light stays on the middle half of the detector is known by every second of its pixels: pattern
    and model lose nothing then. Pixel (y, x) of the coarse canvas lies on (2 y, 2 x) of the fine one.
    """
    size = scan.size // 2
    height, width = (-(-side // 2) for side in placement.object_shape)
    blank = Placement(torch.zeros_like(placement.corners), placement.remainder, (height, width), size)
    return (
        replace(scan.middle(size), positions=scan.positions / 2),
        blank.moved_to(placement.positions / 2),
    )


def coarser_likelihood(likelihood: Likelihood) -> Likelihood:
    """Return the likelihood of the same frames on the coarse scan, with the same pixels held out."""
    scan, placement = coarser_scan(likelihood.scan, likelihood.placement)
    coarse = Likelihood(scan, placement, held_out_fraction=0.0, frames=likelihood.frames, world=likelihood.world)
    return coarse.holding_out(_middle(likelihood.held, scan.size), likelihood.mask_of)


def coarser(fine: Estimate) -> Estimate:
    """Return an estimate for the coarse scan: every second pixel of the object, the probe that half a detector sees."""
    return replace(
        fine,
        object_=fine.object_[::2, ::2].contiguous(),
        probe=_coarser_modes(fine.probe),
        positions=None if fine.positions is None else fine.positions / 2,
        variations=None if fine.variations is None else _coarser_modes(fine.variations),
    )


def _coarser_modes(modes: Complex64[Tensor, "mode y x"]) -> Complex64[Tensor, "mode half_y half_x"]:
    return _from_spectrum(_middle(_spectrum(modes), modes.shape[-1] // 2))


def corrected(fine: Estimate, change: Estimate) -> Estimate:
    """Return an estimate with a change of its object and probe that was found on the coarse scan.

    What the coarse scan does not know, fine detail and light outside the middle of the detector, stays as it was. The
    probe is changed by the frequencies that the change has; the object's is interpolated by cubic polynomials.
    """
    size, half = fine.probe.shape[-1], change.probe.shape[-1]
    before = size // 2 - half // 2
    after = size - half - before
    spectrum = functional.pad(_spectrum(change.probe), (before, after, before, after))
    object_ = fine.object_ + _enlarged(change.object_, (fine.object_.shape[0], fine.object_.shape[1]))
    return replace(fine, object_=object_, probe=fine.probe + _from_spectrum(spectrum))


def _enlarged(image: Complex64[Tensor, "half_height half_width"], shape: tuple[int, int]) -> Tensor:
    places = [
        torch.arange(n, device=image.device, dtype=torch.float32) / max(1, coarse - 1) - 1
        for n, coarse in zip(shape, image.shape, strict=True)
    ]
    grid = torch.stack(torch.meshgrid(places[1], places[0], indexing="xy"), dim=-1)
    parts = torch.view_as_real(image).movedim(-1, 0)[None]
    fine = functional.grid_sample(parts, grid[None], mode="bicubic", padding_mode="border", align_corners=True)
    return torch.view_as_complex(fine[0].movedim(0, -1).contiguous())


def _middle(pattern: Shaped[Tensor, "*batch y x"], size: int) -> Shaped[Tensor, "*batch half_y half_x"]:
    first = pattern.shape[-1] // 2 - size // 2
    return pattern[..., first : first + size, first : first + size]


def _spectrum(probe: Complex64[Tensor, "mode y x"]) -> Complex64[Tensor, "mode y x"]:
    """Return the unitary transform with the origin of both spaces at index N // 2."""
    shifted = torch.fft.ifftshift(probe, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.fft2(shifted, norm="ortho"), dim=(-2, -1))


def _from_spectrum(spectrum: Complex64[Tensor, "mode y x"]) -> Complex64[Tensor, "mode y x"]:
    shifted = torch.fft.ifftshift(spectrum, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), dim=(-2, -1))

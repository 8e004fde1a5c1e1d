"""The one page: how patches make counts, and how overlapping patches become one object.

    look    = PatchesAt(corners, size, object_shape)      object -> patches; its adjoint stitches
    place   = SubpixelShift(remainder)                    the sub-pixel part of a position, carried by the probe
    detect  = Intensity() @ FarField() @ Illumination(place(probe))
    forward = detect @ look                               I_j = sum_m | F[ P_jm . O_j ] |^2, see `forward_model`
    canvas  = look.adjoint(place(w patches)) / look.adjoint(place(w)),  w = sum_m |P_m|^2

A position (y, x) is the object pixel that lands on patch index N // 2. Its corner is floor(position) - N // 2 and its
remainder position - floor(position): the probe moves by the remainder inside a patch that is cut at whole pixels.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float32, Float64, Int64
from torch import Tensor

from ptycho_torch.physics.detection import Intensity
from ptycho_torch.physics.illumination import ExitWaves, Illumination
from ptycho_torch.physics.modulus import squared_modulus
from ptycho_torch.physics.operator import Operator
from ptycho_torch.physics.patches import PatchesAt
from ptycho_torch.physics.per_pixel import per_pixel
from ptycho_torch.physics.propagation import BareTransform, FarField
from ptycho_torch.physics.subpixel import SubpixelShift

# Below this fraction of the largest weight a canvas pixel has seen no light that could tell what is there.
NO_LIGHT = 1e-6


@dataclass(frozen=True)
class Placement:
    """Where patches lie on a canvas: whole-pixel corners (patch, 2), remainders (patch, 2) px, canvas shape px.

    Of several regions, one below the other, all have as many patches; those of one share its pixels.
    """

    corners: Int64[Tensor, "patch 2"]
    remainder: Float32[Tensor, "patch 2"]
    object_shape: tuple[int, int]
    size: int
    n_regions: int = 1

    def look(self) -> PatchesAt:
        """Return the operator that cuts the patches; its adjoint stitches."""
        return PatchesAt(self.corners, self.size, self.object_shape, self.n_regions)

    def part(self, patches: slice | Int64[Tensor, " some"]) -> "Placement":
        """Return the placement of some of the patches on the same canvas."""
        return Placement(self.corners[patches], self.remainder[patches], self.object_shape, self.size)

    @property
    def positions(self) -> Float64[Tensor, "patch 2"]:
        """Positions on the canvas, (y, x) px."""
        return self.corners + self.size // 2 + self.remainder.double()

    def moved_to(self, positions: Float64[Tensor, "patch 2"]) -> "Placement":
        """Return the placement of the same patches at other positions on the same canvas, which must hold them."""
        whole = positions.floor()
        return Placement(
            whole.long() - self.size // 2, (positions - whole).to(torch.float32), self.object_shape, self.size
        )

    def remainder_of(self, positions: Float64[Tensor, "patch 2"]) -> Float32[Tensor, "patch 2"]:
        """Return what positions on the canvas are beyond the whole pixels where the patches are cut, px."""
        return (positions - (self.corners + self.size // 2)).to(torch.float32)

    def place(self) -> SubpixelShift:
        """Return the operator that moves fields by the sub-pixel remainders."""
        return SubpixelShift(self.remainder, self.size)


def place_on_canvas(
    positions: Float64[Tensor, "patch 2"], size: int, margin: int = 0
) -> tuple[Placement, Int64[Tensor, "2"]]:
    """Return the placement of patches on the smallest canvas that holds them, and the canvas's origin (y, x) px.

    A margin, px, leaves room on every side for positions that move.
    """
    whole = positions.floor()
    corners = whole.long() - size // 2
    origin = corners.amin(dim=0) - margin
    corners = corners - origin
    height, width = (corners.amax(dim=0) + size + margin).tolist()
    remainder = (positions - whole).to(torch.float32)
    return Placement(corners, remainder, (height, width), size), origin


def stack_regions(
    positions: Float64[Tensor, "region member 2"], size: int, sides: tuple[int, int] | None = None
) -> Placement:
    """Return the placement of regions of overlapping patches, one below the other on one canvas.

    Members of one region share its pixels; two regions share none. ``sides`` (height, width), px, are those of a
    region and must hold every one of them; left out they are the smallest that do, for which a device is waited for.
    """
    whole = positions.floor()
    corners = whole.long() - size // 2
    corners = corners - corners.amin(dim=1, keepdim=True)
    height, width = sides or (corners.amax(dim=(0, 1)) + size).tolist()
    corners[..., 0] += height * torch.arange(len(corners), device=corners.device)[:, None]
    remainder = (positions - whole).to(torch.float32).flatten(0, 1)
    return Placement(corners.flatten(0, 1), remainder, (height * len(positions), width), size, len(positions))


def detector(probe: Complex64[Tensor, "_ mode y x"]) -> Operator:
    """Return patches -> expected counts for a probe as each patch sees it."""
    return Intensity() @ FarField() @ Illumination(probe)


def forward_model(bare: Complex64[Tensor, "*patch mode y x"], look: PatchesAt, place: SubpixelShift) -> Operator:
    """Return object -> expected counts for one probe for all patches, or one for each: ``detect @ look``.

    ``bare`` is the probe times what surrounds a bare transform (`surrounding`).
    """
    return Intensity() @ BareTransform() @ ExitWaves(place.spread(bare, zero=place.size // 2), look)


def probe_weight(probe: Complex64[Tensor, "*patch mode y x"]) -> Float32[Tensor, "*patch y x"]:
    """Return the illumination w = sum_m |P_m|^2 that says how much a patch knows of each of its pixels."""
    return squared_modulus(probe).sum(dim=-3)


def weighted(
    patches: Complex64[Tensor, "patch y x"], weight: Float32[Tensor, "*own y x"], place: SubpixelShift
) -> tuple[Complex64[Tensor, "patch y x"], Complex64[Tensor, "patch y x"]]:
    """Return weighted patches and weights, moved: scattered, they are numerator and denominator of the canvas.

    The same weights pass through the same operators in both, so patches of one constant give that constant. A weight
    with a Nyquist component is complex once it is moved by a part of a pixel, and the denominator with it. One weight
    for all patches is transformed once.
    """
    return place(per_pixel(patches).lit(patches, weight)), place(weight.to(torch.complex64))


def divide(
    numerator: Complex64[Tensor, "height width"],
    denominator: Complex64[Tensor, "height width"],
    brightest_light: Float32[Tensor, "height 1"] | None = None,
) -> tuple[Complex64[Tensor, "height width"], Float32[Tensor, "height width"]]:
    """Return the canvas on which all patches agree best, 1 (transparent) where no light fell, and the light on it.

    ``brightest_light`` is that of the region that a row belongs to; that of the whole canvas when None.
    """
    coverage = denominator.real
    dark = coverage <= NO_LIGHT * (coverage.amax() if brightest_light is None else brightest_light)
    return torch.where(dark, 1, numerator / torch.where(dark, 1, denominator)), coverage.clamp_min(0)


def brightest(light: Float32[Tensor, "height width"], n_regions: int) -> Float32[Tensor, "height 1"]:
    """Return, for every row of a canvas of regions one below the other, the largest light of its region."""
    return light.reshape(n_regions, -1).amax(dim=1).repeat_interleave(len(light) // n_regions)[:, None]


def merge(
    patches: Complex64[Tensor, "patch y x"],
    weight: Float32[Tensor, "*own y x"],
    look: PatchesAt,
    place: SubpixelShift,
) -> tuple[Complex64[Tensor, "height width"], Float32[Tensor, "height width"]]:
    """Return the canvas of all patches, weighted by the light, and its coverage in counts; regions know of no other."""
    numerator, denominator = (look.adjoint(moved) for moved in weighted(patches, weight, place))
    return divide(numerator, denominator, brightest(denominator.real, look.n_regions))

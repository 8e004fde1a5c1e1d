"""Choices about reading a scan: what a file can't say of itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ptycho.config.checks import literals, number


@dataclass(frozen=True)
class Reading:
    """How to read a scan.

    Attributes
    ----------
    nphotons
        Mean counts of a frame, where the patterns are amplitudes and neither they nor the file say it.
    companions
        Other files of the same scan, with commas between: positions, probe, product.
    transpose
        Exchange rows and columns of patterns, mask and probe, after any flip; positions and object stay.
    flip_x
        Mirror the columns of patterns, mask and probe, index N // 2 in place; positions and object stay.
    flip_y
        Mirror the rows of patterns, mask and probe, index N // 2 in place; positions and object stay.
    translation
        Whose translation a CXI or NeXus file holds; by the standard the sample's.
    units
        Unit of positions in files that don't say it; auto takes less than 0.1 from end to end for metres.
    energy
        Photon energy, eV; wins over the file's.
    distance
        From the sample to the detector, m; wins over the file's.
    detector_pixel
        Side of a detector pixel, m; wins over the file's.
    """

    nphotons: float | None = None
    companions: tuple[Path, ...] = ()
    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False
    translation: Literal["sample", "probe"] = "sample"
    units: Literal["auto", "m", "px"] = "auto"
    energy: float | None = None
    distance: float | None = None
    detector_pixel: float | None = None

    @property
    def turns(self) -> tuple[str, ...]:
        """Names of the turns that are asked for."""
        return tuple(name for name in ("flip_x", "flip_y", "transpose") if getattr(self, name))

    def __post_init__(self) -> None:
        """Refuse choices outside their range; every field is there at once, unlike in a client's configuration."""
        literals(self)
        number(self, "nphotons", "energy", "distance", "detector_pixel", above=0, optional=True)

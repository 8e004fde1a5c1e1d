"""What one file tells of a scan: all of it or, where a scan lies in several files, a part."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from numpy.typing import NDArray

from ptycho.optics.geometry import Geometry, Pair
from ptycho.optics.intensity import CountRule


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a scan that a file holds; None for what it lacks. A reader fills this in and decides no more.

    Attributes
    ----------
    source
        Name of the file, for notes and messages.
    patterns
        (position, N, N) or another order that `acquisition.build.align_frames` knows, zero frequency at N // 2, in
        the dtype of the file.
    indexes, position_indexes
        (n,) whole numbers that pair patterns with positions; None where they come in one order.
    bad_pixels
        (y, x), true or not 0 where a detector pixel can't be trusted.
    rule, labelled
        What the patterns hold, and the mean counts of a frame, where the file states them.
    positions
        (n, 2), (y, x): where the probe is on the object, along the rows and columns of the patterns.
    unit
        Of positions and ``origin``; "unstated" leaves it to the user.
    origin
        (y, x) in the unit of the positions, such that ``(position - origin) / pixel`` is the object pixel that lands
        on patch index N // 2; None where the file has no object, and positions in metres are then put so that all
        patches begin at 0.
    probe
        (N, N), (N, N, 1) or (mode, N, N), complex.
    probe_scale
        "patterns" when the probe is in the unit of the patterns' amplitude (sqrt(counts) beside counts), "counts" when
        it is in sqrt(counts), "free" when its power is to be set to the mean counts of a frame.
    object_, labels
        Object and true patches, as `acquisition.Acquisition` has them.
    geometry
        Energy and lengths.
    notes
        What the reader decided or guessed, each a sentence without a full stop.
    """

    source: str
    patterns: NDArray[Any] | None = None
    indexes: NDArray[Any] | None = None
    bad_pixels: NDArray[Any] | None = None
    rule: CountRule | None = None
    labelled: float | None = None
    positions: NDArray[Any] | None = None
    unit: Literal["m", "px", "unstated"] = "px"
    origin: Pair | None = None
    position_indexes: NDArray[Any] | None = None
    probe: NDArray[Any] | None = None
    probe_scale: Literal["patterns", "counts", "free"] = "patterns"
    object_: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    geometry: Geometry = field(default_factory=Geometry)
    notes: tuple[str, ...] = ()

    def completed(self, other: "Parts") -> "Parts":
        """Return these parts with what they lack from another file of the same scan; what both have stays."""
        taken = [group for group in GROUPS if getattr(self, group[0]) is None and getattr(other, group[0]) is not None]
        lengths = {
            name: getattr(other.geometry, name)
            for name in ("energy", "distance", "detector_pixel", "object_pixel")
            if getattr(self.geometry, name) is None
        }
        note = f"{' and '.join(WORDS[group[0]] for group in taken) or 'nothing'} taken from {other.source}"
        return replace(
            self,
            **{name: getattr(other, name) for group in taken for name in group},
            geometry=replace(self.geometry, **lengths),
            notes=(*self.notes, *other.notes, note),
        )


# What comes together from one file: positions name pixels of that file's object.
GROUPS = (
    ("patterns", "indexes", "bad_pixels", "rule", "labelled", "labels"),
    ("positions", "unit", "origin", "position_indexes", "object_"),
    ("probe", "probe_scale"),
)
WORDS = {"patterns": "patterns", "positions": "positions", "probe": "the probe"}

"""Choices about the likelihood iterations: which parts of the model they may change, and when."""

from dataclasses import dataclass

from ptycho.base.errors import ConfigError
from ptycho.config.checks import number, whole


@dataclass(frozen=True)
class Span:
    """Some of the iterations: from ``start`` on, before ``stop`` (to the last when None); the first is 0.

    Raises
    ------
    ConfigError
        The numbers are no span.
    """

    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        """Refuse a span without iterations."""
        whole(self, "start", least=0)
        whole(self, "stop", least=1, optional=True)
        if self.stop is not None and self.stop <= self.start:
            raise ConfigError(
                f"the span {self} has no iteration; expected a stop after its start; "
                f"give {self.start}:{self.start + 1} or more"
            )

    def __contains__(self, iteration: int) -> bool:
        return self.start <= iteration and (self.stop is None or iteration < self.stop)

    def __str__(self) -> str:
        return f"{self.start}:{'' if self.stop is None else self.stop}"


@dataclass(frozen=True)
class Refinement:
    """What the likelihood iterations may change, and in which of them; a part without a span is held fixed.

    Attributes
    ----------
    iterations
        Likelihood iterations at most; 0 for none.
    object, probe
        Spans of the object and of all probe modes.
    positions
        Span of one correction (y, x) a frame.
    flux
        Span of one factor a frame on its counts.
    background
        Span of one constant that every detector pixel counts without the sample.
    probe_variation
        Span of the probe's change from frame to frame (orthogonal probe relaxation, DOI 10.1364/OE.24.008360).
    n_variations
        Modes of that change.
    total_variation
        Strength of the edge-preserving prior of the iterations on the object, 0 or more; about 1 at any dose, 0 for
        the likelihood alone.
    coarse_passes, passes
        Passes over the scan in batches before the first iteration: over the middle half of the detector, whose pixels
        on the object are twice as large, and over all of it. They change the object, and the probe where its span
        begins at 0; for starts that are far from the solution.
    n_modes
        Incoherent modes that the probe has at least; those that the scan does not know begin as its main mode times
        y, x, y^2 and so on.

    Raises
    ------
    ConfigError
        A number is outside its range, or choices come without those they need.
    """

    iterations: int = 0
    object: Span | None = Span()
    probe: Span | None = None
    positions: Span | None = None
    flux: Span | None = None
    background: Span | None = None
    probe_variation: Span | None = None
    n_variations: int = 0
    total_variation: float = 1.0
    coarse_passes: int = 0
    passes: int = 0
    n_modes: int = 1

    def __post_init__(self) -> None:
        """Refuse choices that do not fit together."""
        whole(self, "iterations", "n_variations", "coarse_passes", "passes", least=0)
        whole(self, "n_modes", least=1)
        number(self, "total_variation", least=0)
        if (self.coarse_passes or self.passes) and (self.object is None or 0 not in self.object):
            raise ConfigError(
                f"passes with the object's span {self.object}; expected one from 0 on, as passes change the object; "
                "give such a span, or no passes"
            )
        if self.n_modes > 1 and self.probe is None:
            raise ConfigError(
                f"n_modes is {self.n_modes} with a probe held fixed; expected a span of the probe, as the modes begin "
                "as a guess; give that span, or one mode"
            )
        if (self.probe_variation is None) != (self.n_variations == 0):
            raise ConfigError(
                f"n_variations is {self.n_variations} with probe_variation {self.probe_variation}; expected both or "
                "neither; give the number of modes and the span of iterations that changes them"
            )

    @property
    def approaches(self) -> bool:
        """Whether anything is done before the first iteration."""
        return bool(self.passes or self.coarse_passes or self.n_modes > 1)

    @property
    def prior_strength(self) -> float:
        """Strength of the prior that holds back noise; 0 for passes without iterations, which know of none."""
        return self.total_variation if self.iterations else 0.0

    @property
    def works(self) -> bool:
        """Whether there is any pass or iteration."""
        return bool(self.iterations or self.passes or self.coarse_passes)

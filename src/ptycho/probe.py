"""Door: the probe that the older dictionary holds."""

from typing import Any

from numpy.typing import NDArray

from ptycho import params
from ptycho.base.errors import ConfigError
from ptycho.optics.probe import default_probe as get_default_probe
from ptycho.optics.probe import normalised_probe, probe_modes
from ptycho.optics.probe import support_mask as get_probe_mask

__all__ = ["get_default_probe", "get_probe", "get_probe_mask", "set_default_probe", "set_probe", "set_probe_guess"]


def set_probe(probe: NDArray[Any]) -> None:
    """Store a probe (y, x) or (mode, y, x), divided by probe_scale times the mean of its amplitude in the support."""
    params.cfg["probe"] = normalised_probe(probe_modes(probe), float(params.get("probe_scale")))


def set_default_probe() -> None:
    """Store the probe of scans without one, for patterns of N px."""
    set_probe(get_default_probe(int(params.get("N"))))


def set_probe_guess(X_train: Any = None, probe_guess: NDArray[Any] | None = None) -> None:
    """Store a guess of the probe. ``X_train`` is taken for older clients: a probe is not guessed from patterns here.

    Raises
    ------
    ConfigError
        There is no guess.
    """
    if probe_guess is None:
        raise ConfigError("probe_guess is None; expected a probe (N, N) or (mode, N, N); give the scan's probeGuess")
    set_probe(probe_guess)


def get_probe() -> NDArray[Any]:
    """Return the stored probe, (mode, y, x) complex64.

    Raises
    ------
    KeyError
        None was stored.
    """
    probe: NDArray[Any] = params.get("probe")
    return probe

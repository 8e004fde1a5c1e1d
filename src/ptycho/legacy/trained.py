"""The network that was trained or loaded last; older clients save it, and look it up, without naming it."""

from typing import Any

from ptycho.base.errors import ConfigError

_held: dict[str, Any] = {}


def remember(pinn: Any, config: Any) -> None:
    """Keep a network with the configuration that it was trained with."""
    _held.update(pinn=pinn, config=config)


def recall() -> tuple[Any, Any]:
    """Return the network and its configuration.

    Raises
    ------
    ConfigError
        Nothing was trained or loaded in this process.
    """
    if not _held:
        raise ConfigError(
            "no network was trained or loaded in this process; expected one; call run_cdi_example or "
            "load_inference_bundle first"
        )
    return _held["pinn"], _held["config"]

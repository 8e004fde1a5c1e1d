"""Door: the network joined with its physics, and the model as clients of Lightning hold it. Opens without torch."""

from typing import TYPE_CHECKING, Any

from ptycho.base.doors import lazy_attributes

if TYPE_CHECKING:
    from ptycho_torch.clients.library.shell import PtychoPINN_Lightning
    from ptycho_torch.pinn.pinn import PtychoPINN

__all__ = ["PtychoPINN", "PtychoPINN_Lightning"]


def _pinn() -> Any:
    from ptycho_torch.pinn.pinn import PtychoPINN

    return PtychoPINN


def _lightning() -> Any:
    from ptycho_torch.clients.library.shell import PtychoPINN_Lightning

    return PtychoPINN_Lightning


__getattr__ = lazy_attributes(__name__, {"PtychoPINN": _pinn, "PtychoPINN_Lightning": _lightning})

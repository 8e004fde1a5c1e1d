"""Door: the dictionary of parameters that older clients read and change in place."""

from ptycho.legacy.parameters import (
    cfg,
    ensure_defaults,
    get,
    get_bigN,
    get_padded_size,
    get_padding_size,
    params,
    seal,
    set,
    unseal,
    validate,
)

__all__ = [
    "cfg",
    "ensure_defaults",
    "get",
    "get_bigN",
    "get_padded_size",
    "get_padding_size",
    "params",
    "seal",
    "set",
    "unseal",
    "validate",
]

"""How the number of groups is chosen, with the alias that older clients still use."""

import warnings


def groups_from_alias(n_groups: int | None, n_images: int | None) -> int | None:
    """Return ``n_groups``, taken from the deprecated ``n_images`` where only that was given.

    Warns
    -----
    DeprecationWarning
        ``n_images`` was given.
    """
    if n_images is None:
        return n_groups
    taken = n_images if n_groups is None else n_groups
    warnings.warn(
        f"n_images={n_images} is a deprecated name of n_groups; n_groups={taken} is used: write n_groups instead",
        DeprecationWarning,
        stacklevel=4,
    )
    return taken

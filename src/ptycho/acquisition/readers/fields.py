"""Arrays and numbers of a scan file, looked over one by one, so that a message names the key that is wrong."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.build import check_finite, check_real
from ptycho.acquisition.readers.source import Source
from ptycho.base.errors import DataError
from ptycho.optics.geometry import ELECTRON_VOLT, Pair

METRES = {"m": 1.0, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "micron": 1e-6, "microns": 1e-6, "nm": 1e-9}
ELECTRON_VOLTS = {"ev": 1.0, "kev": 1e3, "j": 1 / ELECTRON_VOLT}


def numbers(source: Source, key: str, *n_axes: int) -> NDArray[Any]:
    """Return an array of finite real numbers with one of ``n_axes`` axes; of more, those of length 1 are dropped.

    Raises
    ------
    DataError
        There is no such array, or it holds something else, or nothing.
    """
    array = source[key]
    check_real(repr(key), array)
    lean = array
    while lean.ndim > max(n_axes) and 1 in lean.shape:
        lean = lean.squeeze(lean.shape.index(1))
    if lean.ndim not in n_axes or not lean.size:
        expected = " or ".join(map(str, n_axes))
        raise DataError(f"found {key!r} of shape {array.shape}, expected {expected} axes and no empty one; correct it")
    check_finite(repr(key), lean)
    return lean


def coordinates(source: Source, y_key: str, x_key: str) -> NDArray[np.float64]:
    """Return rows and columns that lie under two keys, (n,) each, as (n, 2), (y, x).

    Raises
    ------
    DataError
        They can't be used, or one has more values than the other.
    """
    y, x = numbers(source, y_key, 1), numbers(source, x_key, 1)
    if len(y) != len(x):
        raise DataError(f"found {len(y)} values in {y_key!r} and {len(x)} in {x_key!r}, expected as many; correct them")
    return np.stack([y, x], axis=1).astype(np.float64)


def waves(source: Source, key: str) -> NDArray[Any] | None:
    """Return a probe or an object, finite complex numbers on two to four axes; None where there is none.

    Raises
    ------
    DataError
        It holds something else.
    """
    array = source.get(key)
    if array is None:
        return None
    if array.dtype.kind not in "iufc" or not 2 <= array.ndim <= 4 or not array.size or not np.isfinite(array).all():
        raise DataError(
            f"found {key!r} of type {array.dtype} and shape {array.shape}, expected finite complex numbers on two "
            "to four axes; correct it or leave it out"
        )
    return array


def pair(source: Source, key: str, units: dict[str, float], unit: str) -> Pair | None:
    """Return two numbers above 0, (y, x), in the first of ``units``, one for both; None where there are none.

    Raises
    ------
    DataError
        As `quantity`.
    """
    if key not in source:
        return None
    if source[key].size == 1:
        side = quantity(source, key, units, unit)
        assert side is not None
        return side, side
    values = numbers(source, key, 1)
    if len(values) != 2 or values.min() <= 0:
        raise DataError(f"found {key} = {values[:9].tolist()}, expected one or two numbers above 0; correct it")
    y, x = (values * factor(source, key, units, unit)).tolist()
    return y, x


def quantity(source: Source, key: str, units: dict[str, float], unit: str) -> float | None:
    """Return one number above 0 in the first of ``units``; None where there is none.

    Its unit is the one that the array names, else ``unit``.

    Raises
    ------
    DataError
        It is something else, or its unit is not among ``units``.
    """
    if key not in source:
        return None
    value = float(numbers(source, key, 0))
    if value <= 0:
        raise DataError(f"found {key} = {value:g}, expected a number above 0; correct it or leave it out")
    return value * factor(source, key, units, unit)


def factor(source: Source, key: str, units: dict[str, float], unit: str) -> float:
    """Return how many of the first of ``units`` the unit of an array is: the one that it names, else ``unit``.

    Raises
    ------
    DataError
        The unit is not among ``units``.
    """
    named = source.attribute(key, "units")
    name = unit if named is None else str(named).strip()
    if name.lower() not in units:
        raise DataError(f"found the unit {name!r} of {key!r}, expected one of {', '.join(units)}; correct it")
    return units[name.lower()]

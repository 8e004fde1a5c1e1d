"""HDF5 members of a TensorFlow archive: the convolutions of its network, and the scale of its training."""

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from ptycho.base.errors import BundleError, DataError
from ptycho.base.hdf5_trial import try_bytes
from ptycho_torch.persistence.older_network import ADVICE, LARGEST, TRAIN_AGAIN, Convolution


def convolutions(raw: bytes, where: str) -> dict[int, Convolution]:
    """Return the convolutions by the number in their Keras name, which counts them in the order of their making.

    The name is the attribute ``name`` beside the weights; the groups that hold them are numbered in another order.

    Raises
    ------
    BundleError
        The file is damaged, reaches outside itself, or holds other layers with weights.
    """
    found = {}
    for name, arrays in _variables(raw, where).items():
        numbered = re.fullmatch(r"conv2d(?:_([1-9]\d{0,8}))?", name)
        shapes = [array.shape for _, array in sorted(arrays.items())]
        if not numbered or set(arrays) != {"0", "1"} or len(shapes[0]) != 4 or len(shapes[1]) != 1:
            raise BundleError(
                f"{where}: found the layer {name!r} with weights of shapes {shapes}; expected conv2d, conv2d_1, ... "
                f"with a kernel (3, 3, in, out) and a bias (out,) each, as the cnn network has; {TRAIN_AGAIN}"
            )
        kernel, bias = (torch.from_numpy(arrays[number].astype(np.float32)) for number in "01")
        # Keras has (y, x, in, out), torch (out, in, y, x); both slide the kernel over the image without turning it.
        found[int(numbered[1] or 0)] = Convolution(name, kernel.permute(3, 2, 0, 1), bias)
    return found


def intensity_scale(raw: bytes, where: str) -> float:
    """Return sqrt(counts) over normalised amplitude, as the attribute of an otherwise empty file says it.

    Raises
    ------
    BundleError
        The file is damaged, or has no such number.
    """
    with _opened(raw, where) as file:
        found = np.asarray(file.attrs.get("intensity_scale"))
    value = float(found.reshape(())) if found.size == 1 and found.dtype.kind in "iuf" else math.nan
    if not (math.isfinite(value) and value > 0):
        raise BundleError(f"{where} has the intensity_scale {value}; expected a number above 0; {ADVICE}")
    return value


def _variables(raw: bytes, where: str) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the weights: name of a layer -> "0", "1", ... -> array."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    room = LARGEST
    with _opened(raw, where) as file:
        for path, dataset in _datasets(file, where).items():
            if path.startswith("optimizer/"):
                continue
            parts = path.split("/")
            name = dataset.parent.attrs.get("name")
            if len(parts) != 4 or (parts[0], parts[2]) != ("layers", "vars") or not isinstance(name, str):
                raise BundleError(
                    f"{where} holds {path}; expected weights in layers/GROUP/vars, which names its layer; {TRAIN_AGAIN}"
                )
            room -= math.prod(dataset.shape or ()) * dataset.dtype.itemsize
            if dataset.shape is None or dataset.dtype.kind != "f" or room < 0:
                raise BundleError(
                    f"{where}: {path} has the type {dataset.dtype} and the shape {dataset.shape}; expected real "
                    f"numbers, {LARGEST} bytes of them in all layers; {ADVICE}"
                )
            variables = found.setdefault(name, {})
            if parts[3] in variables:
                raise BundleError(f"{where} holds two layers {name!r}; expected one of each name; {ADVICE}")
            variables[parts[3]] = dataset[()]
    return found


def _datasets(file: h5py.File, where: str) -> dict[str, h5py.Dataset]:
    """Return all datasets by path, and refuse a file that reaches outside itself."""
    datasets: dict[str, h5py.Dataset] = {}
    elsewhere = []
    # Group by group, as the child did that tried the file: the library's own walk hangs where this one fails.
    groups, seen = [("", file["/"])], set()
    while groups:
        prefix, group = groups.pop()
        for name in group:
            path = f"{prefix}{name}"
            if type(group.get(name, getlink=True)) is not h5py.HardLink:
                elsewhere.append(path)
                continue
            member = group[name]
            if isinstance(member, h5py.Dataset):
                datasets[path] = member
            elif isinstance(member, h5py.Group) and member.id not in seen:
                seen.add(member.id)
                groups.append((f"{path}/", member))
    elsewhere += [path for path, dataset in datasets.items() if dataset.is_virtual or dataset.external]
    if elsewhere:
        raise BundleError(
            f"{where}: {elsewhere[0]} is a link or lies in another file; expected all weights in this one; {ADVICE}"
        )
    return datasets


@contextmanager
def _opened(raw: bytes, where: str) -> Iterator[h5py.File]:
    """Open an HDF5 file in memory; damage that shows while the block reads it is told in one line."""
    try:
        try_bytes(raw)
    except DataError as error:
        raise BundleError(f"{where}: {error}") from error
    try:
        with h5py.File(io.BytesIO(raw), "r") as file:
            yield file
    except BundleError:
        raise
    except (OSError, RuntimeError, SystemError, LookupError, ValueError, TypeError, OverflowError) as error:
        raise BundleError(f"{where} can't be read ({error}); the file is damaged or no HDF5; {ADVICE}") from error

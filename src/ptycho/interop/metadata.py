"""What a file says about itself, ``_metadata``: who wrote it, with which parameters, and what was done to it since."""

import copy
import json
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.readers.archive import open_archive
from ptycho.acquisition.readers.metadata import KEY, read_metadata
from ptycho.acquisition.writers.npz import npz_path
from ptycho.base.atomic import atomic_path
from ptycho.base.errors import DataError
from ptycho.config.inference import InferenceConfig
from ptycho.config.training import TrainingConfig

logger = logging.getLogger(__name__)

SCHEMA = "1.0.0"
PHYSICS, TRANSFORMATIONS, ADDITIONAL = "physics_parameters", "data_transformations", "additional_parameters"
# Names that `numpy.savez` has for arguments of its own.
RESERVED = ("file", "allow_pickle")
COMPARED = ("nphotons", "N", "gridsize")

Metadata = dict[str, Any]


def create_metadata(config: TrainingConfig, script_name: str, **extra: Any) -> Metadata:
    """Return metadata of schema 1.0.0 for data that ``script_name`` makes with the parameters of ``config``.

    ``extra`` goes to ``additional_parameters``. The name of the machine stays empty: data are passed on, and where they
    were made is for their owner to say.
    """
    model = config.model
    return {
        "schema_version": SCHEMA,
        "creation_info": _creation(script_name),
        PHYSICS: {
            "nphotons": config.nphotons,
            "gridsize": model.gridsize,
            "N": model.N,
            "probe_trainable": config.probe_trainable,
            "intensity_scale_trainable": config.intensity_scale_trainable,
            "nll_weight": config.nll_weight,
            "model_type": model.model_type,
        },
        "training_parameters": {
            "n_images": config.n_groups,
            "batch_size": config.batch_size,
            "nepochs": config.nepochs,
        },
        TRANSFORMATIONS: [],
        ADDITIONAL: extra,
    }


def save_with_metadata(path: Path | str, data_dict: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> None:
    """Write arrays and what is said of them as npz, whole or not at all; the metadata is plain JSON text in it.

    ".npz" is added where ``path`` does not end in it.

    Raises
    ------
    DataError
        An array holds Python objects or has a name that NumPy keeps for itself, or the metadata holds something that
        JSON does not know.
    OutputError
        The file can't be written.
    """
    arrays = {key: np.asarray(value) for key, value in data_dict.items() if value is not None}
    objects = [key for key, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise DataError(f"{', '.join(objects)} would be pickled; expected arrays of numbers; convert or leave them out")
    reserved = [key for key in RESERVED if key in arrays]
    if reserved:
        raise DataError(
            f"found an array called {', '.join(reserved)}, a name that NumPy keeps for itself; expected another name; "
            "rename it"
        )
    try:
        text = json.dumps(metadata, default=_plain)
    except TypeError as error:
        raise DataError(f"metadata can't be written as JSON ({error}); expected text, numbers, lists") from error
    with atomic_path(npz_path(path)) as partial, partial.open("wb") as stream:
        np.savez(stream, **(arrays | {KEY: np.array(text)}))  # type: ignore[arg-type]


def load_with_metadata(path: Path | str) -> tuple[dict[str, NDArray[Any]], Metadata | None]:
    """Return the arrays of an npz and what it says of them, None where it says nothing.

    Metadata that older software pickled is read without unpickling; other pickled objects are left out, and said.

    Raises
    ------
    DataError
        The file or its metadata can't be used.
    """
    with open_archive(Path(path)) as archive:
        pickled = [key for key in sorted(archive.keys - {KEY}) if archive.is_pickled(key)]
        if pickled:
            logger.info("%s: %s hold pickled objects, which are not loaded", path, ", ".join(pickled))
        keys = sorted(archive.keys - {KEY, *pickled})
        return {key: archive[key] for key in keys}, read_metadata(archive)


def validate_parameters(
    metadata: Mapping[str, Any] | None, current_config: TrainingConfig | InferenceConfig
) -> list[str]:
    """Return where a file's photons, pattern size or gridsize disagree with a configuration, one sentence each.

    Every sentence is logged as a warning too; what the file or the configuration does not say is not compared.

    Raises
    ------
    DataError
        The file's parameters have no names.
    """
    said = _named(metadata or {}, PHYSICS)
    given: dict[str, float] = {"N": current_config.model.N, "gridsize": current_config.model.gridsize}
    if isinstance(current_config, TrainingConfig):
        given["nphotons"] = current_config.nphotons
    found = [
        f"{name} is {said[name]} in the file and {given[name]} in the configuration; set {name} to {said[name]}"
        for name in COMPARED
        if said.get(name) is not None and name in given and said[name] != given[name]
    ]
    for sentence in found:
        logger.warning("%s", sentence)
    return found


def add_transformation_record(
    metadata: Mapping[str, Any], tool_name: str, operation: str, parameters: Mapping[str, Any] | None = None
) -> Metadata:
    """Return metadata with one more line of history: which tool did what to the data, and how."""
    record = {"tool": tool_name, "timestamp": _now(), "operation": operation, "parameters": dict(parameters or {})}
    return {**copy.deepcopy(dict(metadata)), TRANSFORMATIONS: [*(metadata.get(TRANSFORMATIONS) or []), record]}


def get_nphotons(metadata: Mapping[str, Any] | None, default: float = 1e9) -> float:
    """Return the mean counts of a frame that a file states, else ``default``.

    Raises
    ------
    DataError
        It states something else.
    """
    value = _named(metadata or {}, PHYSICS).get("nphotons")
    if value is None:
        return default
    try:
        nphotons = float(value)
    except (TypeError, ValueError):
        nphotons = math.nan
    if not 0 < nphotons < math.inf:
        raise DataError(f"found nphotons = {value!r} in the metadata, expected a number above 0; correct it")
    return nphotons


def merge_metadata(metadata_list: Sequence[Mapping[str, Any]], script_name: str = "merge_metadata") -> Metadata:
    """Return metadata for data joined from several files.

    Of the first file's statements those stay in which all files agree; where they differ the statement is left out
    and a warning names it. Histories follow one another.

    Raises
    ------
    DataError
        There is nothing to merge, or parameters have no names.
    """
    if not metadata_list:
        raise DataError("found no metadata to merge; give that of one file at least")
    first = metadata_list[0]
    merged = {name: copy.deepcopy(value) for name, value in first.items() if not isinstance(value, Mapping)}
    for name in (PHYSICS, "training_parameters", ADDITIONAL):
        groups = [_named(metadata, name) for metadata in metadata_list]
        differing = [key for key in groups[0] if any(group.get(key) != groups[0][key] for group in groups)]
        if differing:
            logger.warning("files disagree on %s of %s, which is left out", ", ".join(differing), name)
        merged[name] = {key: copy.deepcopy(value) for key, value in groups[0].items() if key not in differing}
    merged["creation_info"] = _creation(script_name)
    merged[TRANSFORMATIONS] = [record for metadata in metadata_list for record in metadata.get(TRANSFORMATIONS) or []]
    return merged


def _named(metadata: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    """Return a group of parameters by name, empty where the metadata have none."""
    found = metadata.get(group) or {}
    if not isinstance(found, Mapping):
        raise DataError(f"found {group} = {found!r} in the metadata, expected values by name; correct or leave it out")
    return found


def _creation(script: str) -> dict[str, str]:
    return {"timestamp": _now(), "script": script, "hostname": "", "ptychopinn_version": version("ptychopinn")}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(value: Any) -> Any:
    """Return what JSON knows for a number or array of NumPy and for a path."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} {value!r}")

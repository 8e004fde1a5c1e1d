"""The bundle wts.h5.zip: manifest.json, config.json and weights.safetensors, and nothing that can run."""

import json
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from ptycho.acquisition.readers.kinds import kind_of, kind_of_folder
from ptycho.base.atomic import atomic_path
from ptycho.base.errors import BundleError, BundleNotFoundError, ConfigError
from ptycho.base.printable import listed
from ptycho.config.files import from_dict, kept_choices, to_dict
from ptycho.config.model import ModelConfig
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_training
from ptycho_torch.persistence.manifest import Manifest
from ptycho_torch.persistence.zips import check_size, open_zip, read_members
from ptycho_torch.pinn.build import Constants, build
from ptycho_torch.pinn.pinn import PtychoPINN

logger = logging.getLogger(__name__)

NAME = "wts.h5.zip"
# What Ptychodus calls a bundle that it copied.
COPIED_NAME = "model.zip"
CHECKPOINTS = "checkpoints"  # of a training, in its folder
ADVICE = "give the wts.h5.zip that `ptycho train` wrote, or its folder"
# Member -> bytes that it may have when unpacked.
WEIGHTS = "weights.safetensors"
MEMBERS = {"manifest.json": 1 << 20, "config.json": 1 << 20, WEIGHTS: 4 << 30}
# Choices that say what a network is: weights go from one to another where these agree.
SHAPING = (
    "N",
    "gridsize",
    "architecture",
    "lean_width",
    "lean_levels",
    "n_filters_scale",
    "amp_activation",
    "pad_object",
    "probe_big",
)


@dataclass(frozen=True)
class Bundle:
    """A trained network with the choices that made it; ``found`` is its file, or the folder of its members."""

    pinn: PtychoPINN
    config: TrainingConfig
    manifest: Manifest
    found: Path


def write_bundle(path: Path, pinn: PtychoPINN, config: TrainingConfig, began_from: str = "") -> None:
    """Write a trained network, whole or not at all.

    Parameters
    ----------
    began_from
        Hash of the weights that its training started from; empty where they were random.

    Raises
    ------
    OutputError
        The file can't be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in pinn.state_dict().items()}
    members = {
        "config.json": json.dumps(to_dict(config), indent=2).encode(),
        "weights.safetensors": tensors_to_bytes(tensors),
    }
    members = {"manifest.json": Manifest.of(members, began_from).to_bytes(), **members}
    with atomic_path(Path(path)) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)


def read_bundle(path: Path) -> Bundle:
    """Read a bundle: sizes are limited, hashes compared, and nothing in it is executed.

    Parameters
    ----------
    path
        The file; or a folder that holds ``wts.h5.zip``, or ``model.zip``, or its unpacked members (clients unpack
        archives), or such folders, of which the newest is taken.

    Raises
    ------
    BundleNotFoundError
        There is none.
    BundleError
        The file is damaged, foreign, newer, or its weights don't fit its configuration.
    """
    file = _found(Path(path))
    where = str(file)
    raw = _unpacked(file) if file.is_dir() else _members(file)
    manifest = Manifest.parse(raw["manifest.json"], where)
    for name in ("config.json", "weights.safetensors"):
        manifest.verify(name, raw[name], where)
    try:
        choices = json.loads(raw["config.json"])
        if not isinstance(choices, dict):
            raise ValueError("config.json holds no choices by name")
        config = from_dict(kept_choices(choices), TrainingConfig, where)
        validate_training(config)
        return Bundle(_restore(config, tensors_from_bytes(raw["weights.safetensors"])), config, manifest, file)
    except (SafetensorError, ValueError, LookupError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"{where}: weights and configuration don't fit ({reason}); train again") from error


def start_from(path: Path, pinn: PtychoPINN, model: ModelConfig) -> str:
    """Give a network the weights of the one in a bundle, and return their hash; probe and scales stay its own.

    Raises
    ------
    BundleError
        As `read_bundle`.
    ConfigError
        The bundle holds another network than ``model`` describes, with what differs.
    """
    bundle = read_bundle(path)
    theirs, ours = to_dict(bundle.config.model), to_dict(model)
    differing = [
        f"{name} is {ours[name]!r} but {theirs[name]!r} there" for name in SHAPING if ours[name] != theirs[name]
    ]
    if differing:
        size = ours["N"] != theirs["N"]
        raise ConfigError(
            f"{path} holds another network: {', '.join(differing)}; expected the same; "
            + (f"give a bundle for patterns of {ours['N']} px" if size else "leave these choices to the bundle")
        )
    pinn.network.load_state_dict(bundle.pinn.network.state_dict())
    return bundle.manifest.sha256[WEIGHTS]


def _restore(config: TrainingConfig, tensors: dict[str, Tensor]) -> PtychoPINN:
    n_modes, size = tensors["probe_parts"].shape[0], config.model.N
    # On the meta device nothing is allocated, however large a network the configuration asks for.
    with torch.device("meta"):
        blank = build(config.model, config, Constants(torch.empty(n_modes, size, size, dtype=torch.complex64), 1.0))
    expected = {name: (tensor.shape, tensor.dtype) for name, tensor in blank.state_dict().items()}
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    differing = sorted(name for name in expected | found if expected.get(name) != found.get(name))
    differing += [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if differing:
        raise ValueError(f"{len(differing)} tensors are not those of the configured network, {differing[0]!r} for one")
    probe = torch.view_as_complex(tensors["probe_parts"]) * tensors["probe_scale"]
    pinn = build(config.model, config, Constants(probe, float(tensors["input_scale"])))
    pinn.load_state_dict(tensors)
    return pinn.eval()


def _found(path: Path) -> Path:
    """Return the file, or the folder of unpacked members, that ``path`` leads to."""
    if path.is_file():
        return path
    if not path.exists():
        raise BundleNotFoundError(f"{path} does not exist; expected a trained network; {ADVICE}")
    if own := _held(path):
        return own
    # What a run that was killed left half written begins with a dot.
    below = {file.parent for name in (NAME, COPIED_NAME, *MEMBERS) for file in path.glob(f"[!.]*/{name}")}
    runs = sorted(filter(None, map(_held, below)), key=lambda run: run.stat().st_mtime)
    if not runs:
        if kind := kind_of_folder(path):
            raise BundleNotFoundError(f"{path}: found a folder with {kind}, expected a trained network; {ADVICE}")
        if (path / CHECKPOINTS).is_dir():
            raise BundleNotFoundError(
                f"{path} holds no {NAME}, but {CHECKPOINTS}: its training was interrupted, or still runs; expected a "
                f"trained network; wait for it, or go on with it: ptycho train SCAN --output_dir {path} --resume"
            )
        names = [entry.name for entry in path.iterdir()]
        there = listed(names, most=6) if names else "nothing"
        raise BundleNotFoundError(f"{path} holds no {NAME}, but {there}; expected a trained network; {ADVICE}")
    logger.info("%s holds no %s itself: the newest below it, %s, is taken", path, NAME, runs[-1])
    return runs[-1]


def _held(folder: Path) -> Path | None:
    """Return the file in a folder, or the folder itself where it holds unpacked members."""
    files = [folder / name for name in (NAME, COPIED_NAME) if (folder / name).is_file()]
    if files:
        return files[0]
    return folder if all((folder / member).is_file() for member in MEMBERS) else None


def _unpacked(folder: Path) -> dict[str, bytes]:
    try:
        for name, limit in MEMBERS.items():
            check_size(str(folder), name, (folder / name).stat().st_size, limit, ADVICE)
        return {name: (folder / name).read_bytes() for name in MEMBERS}
    except OSError as error:
        raise BundleError(f"{folder} can't be read ({error.strerror}); make it readable, or {ADVICE}") from error


def _members(file: Path) -> dict[str, bytes]:
    with open_zip(file, str(file), ADVICE) as archive:
        names = sorted(archive.namelist())
        if "manifest.dill" in names:
            raise BundleError(
                f"{file} holds {listed(names)}: it was written by other software; expected {listed(MEMBERS)}; make a "
                "bundle of it with `ptycho convert OLD NEW --scan SCAN`, or give the wts.h5.zip that `ptycho train` "
                "wrote"
            )
        if kind := kind_of([name.removesuffix(".npy") for name in names if name not in MEMBERS]):
            raise BundleError(f"{file}: found {kind}, expected a trained network; {ADVICE}")
        if names != sorted(MEMBERS):
            raise BundleError(f"{file} holds {listed(names)}; expected {listed(MEMBERS)}; {ADVICE}")
        return read_members(archive, MEMBERS, str(file), ADVICE)

"""The scans of a client: files of a folder to train on, or arrays to reconstruct."""

import itertools
import logging
import time
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.build import acquisition_from_arrays
from ptycho.acquisition.centring import from_middle, half_pixel
from ptycho.acquisition.checks import require
from ptycho.acquisition.readers import read
from ptycho.base.errors import ConfigError, DataError, OutputError
from ptycho.base.printable import counted
from ptycho.interop.frames import centred_shape
from ptycho_torch.clients.library.session import ConfigManager

logger = logging.getLogger(__name__)

TRAIN, TEST = "train_data.npz", "test_data.npz"


class DataloaderFormats(Enum):
    """How a client wants its scans loaded; here they lie on the device in every case."""

    LIGHTNING_ONLY = "lightning_only_module"

    @classmethod
    def _missing_(cls, value: object) -> None:
        known = ", ".join(repr(member.value) for member in cls)
        raise ConfigError(f"data_format is {value!r}; expected {known}; choose it")


@dataclass(frozen=True, eq=False)
class ScanOnGrid:
    """A scan, and the shape (height, width) px of the object whose pixels its positions count."""

    acquisition: Acquisition
    object_shape: tuple[int, int]


class PtychoDataLoader:
    """The scans in a folder: ``train_data.npz``, or the only other npz, trains; ``test_data.npz`` only judges.

    Attributes
    ----------
    training, validation
        The scans; ``validation`` is None where there is no ``test_data.npz``.
    train_file, test_file
        Their files.
    output_dir
        Folder of this run, ``run_<time>`` in the folder for results; it is made here and nobody else's.

    Raises
    ------
    DataError
        The folder holds no scan to train on, or a scan can't be used.
    OutputError
        The folder of the run can't be made.
    """

    def __init__(
        self,
        data_dir: Path | str,
        config_manager: ConfigManager,
        data_format: DataloaderFormats = DataloaderFormats.LIGHTNING_ONLY,
        output_dir: Path | str | None = None,
    ) -> None:
        self.config_manager = config_manager
        self.data_format = data_format
        self.train_file, self.test_file = find_scans(Path(data_dir))
        self.training = _read(self.train_file, config_manager)
        self.validation = None if self.test_file is None else _read(self.test_file, config_manager)
        self.output_dir = _folder_of_run(Path(output_dir or config_manager.training_config.output_dir))

    @staticmethod
    def from_np(
        diff_patterns: NDArray[Any],
        probe: NDArray[Any],
        positions: NDArray[Any],
        config_manager: ConfigManager,
    ) -> ScanOnGrid:
        """Return a scan in memory.

        Parameters
        ----------
        diff_patterns
            (position, N, N), zero frequency at index N // 2; whole numbers are counts.
        probe
            (mode, N, N) or (N, N), sqrt(counts).
        positions
            (position, 2), (y, x) px of the client's object: the pixel at the middle of the patch, (N - 1) / 2.

        Raises
        ------
        DataError
            Shapes disagree, or the scan can't be used.
        """
        scan = acquisition_from_arrays(diff_patterns, positions, probe, nphotons=config_manager.data_config.nphotons)
        placed = np.stack(from_middle(*scan.positions.T, scan.size), axis=1)
        return ScanOnGrid(_checked(replace(scan, positions=placed)), centred_shape(scan.positions))

    @property
    def scan(self) -> ScanOnGrid:
        """The scan to reconstruct: the one that was held out, or the one that was trained on."""
        scan = self.training if self.validation is None else self.validation
        if scan.object_ is not None:
            return ScanOnGrid(scan, scan.object_.shape)
        # Without an object the client's frame is a guess, and so is half a pixel of it.
        return ScanOnGrid(scan, centred_shape(scan.positions - half_pixel(scan.size)))


def find_scans(folder: Path) -> tuple[Path, Path | None]:
    """Return the file to train on and the file that judges, or None for the latter.

    Raises
    ------
    DataError
        There is no file to train on, or more than one that could be meant.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected one with {TRAIN} in it; give the folder of the scan")
    found = {path.name: path for path in sorted(folder.glob("[!.]*.npz"))}
    test = found.pop(TEST, None)
    if TRAIN in found:
        return found[TRAIN], test
    if len(found) == 1:
        return next(iter(found.values())), test
    names = ", ".join([*found, *([TEST] if test else [])]) or "no npz file"
    raise DataError(
        f"found {names} in {folder}, expected {TRAIN} (and {TEST}, which only judges the training); "
        f"name the scan to train on {TRAIN}"
    )


def _read(path: Path, config_manager: ConfigManager) -> Acquisition:
    scan = read(path, nphotons=config_manager.data_config.nphotons)
    patterns = counted(scan.n_positions, "pattern")
    logger.info("%s: %s of %d x %d px, %s", path.name, patterns, scan.size, scan.size, scan.origin)
    return _checked(scan)


def _checked(scan: Acquisition) -> Acquisition:
    for finding in require(scan):
        logger.warning("%s", finding)
    return scan


def _folder_of_run(parent: Path) -> Path:
    name = time.strftime("run_%Y%m%d_%H%M%S")
    for n in itertools.count(1):
        folder = parent / (name if n == 1 else f"{name}_{n}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(
                f"can't write {folder}: {error.strerror or error}; choose a folder that you may write to"
            ) from error
        return folder
    raise AssertionError("counting ended")

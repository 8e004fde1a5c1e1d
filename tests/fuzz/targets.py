"""Everything that reads a file which somebody else may have written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ptycho.acquisition.checks import check
from ptycho.acquisition.readers import read
from ptycho.acquisition.readers.archive import open_archive
from ptycho.acquisition.readers.mapped import mapped_arrays
from ptycho.acquisition.summary import summary
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.config.files import from_yaml
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_training
from ptycho.raw_data import RawData
from ptycho_torch.persistence.bundle import read_bundle
from ptycho_torch.persistence.migrate import read_archive
from tests.fuzz import seeds
from tests.fuzz.arrays import odd_npz
from tests.fuzz.bundles import odd_bundle, odd_tensorflow_archive, odd_torch_archive
from tests.fuzz.flips import damaged
from tests.fuzz.texts import odd_yaml

Oddity = Callable[[Random, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """A reader, the good files that inputs are made of, and an oddity that knows their format.

    Attributes
    ----------
    file_name
        Of an input.
    read
        (input, folder for output) -> anything.
    share
        Of the inputs of a run.
    """

    file_name: str
    seeds: Callable[[], tuple[bytes, ...]]
    oddity: Oddity
    read: Callable[[Path, Path], Any]
    share: float

    def content(self, rng: Random) -> bytes:
        """Return the bytes of an input: damaged, odd, or both."""
        raw = rng.choice(self.seeds())
        kind = rng.random()
        if kind < 0.65 and not raw.startswith(b"BZh"):
            raw = self.oddity(rng, raw)
        return damaged(rng, raw) if kind > 0.55 else raw


def _scan(path: Path, out: Path) -> None:
    with open_archive(path) as archive:
        archive.headers()
    scan = read(path)
    if not any(finding.level == "refuse" for finding in check(scan)):
        summary(scan)


def _mapped(path: Path, out: Path) -> None:
    mapped_arrays(path, out).acquisition()


def _older_client(path: Path, out: Path) -> None:
    RawData.from_file(path)


def _configuration(path: Path, out: Path) -> None:
    validate_training(from_yaml(path, TrainingConfig))


TARGETS = {
    "scan": Target("scan.npz", seeds.scans, odd_npz, _scan, 0.2),
    "mapped scan": Target("scan.npz", seeds.scans, odd_npz, _mapped, 0.15),
    "older client": Target("scan.npz", seeds.scans, odd_npz, _older_client, 0.1),
    "reconstruction": Target(
        "reconstruction.npz", seeds.reconstructions, odd_npz, lambda path, out: Reconstruction.read(path), 0.1
    ),
    "configuration": Target("config.yaml", seeds.configurations, odd_yaml, _configuration, 0.1),
    "bundle": Target("wts.h5.zip", seeds.bundles, odd_bundle, lambda path, out: read_bundle(path), 0.07),
    "tensorflow archive": Target(
        "wts.h5.zip", seeds.tensorflow_archives, odd_tensorflow_archive, lambda path, out: read_archive(path), 0.03
    ),
    "torch archive": Target(
        "wts.h5.zip", seeds.torch_archives, odd_torch_archive, lambda path, out: read_archive(path), 0.03
    ),
}

"""Everything that reads a file which somebody else may have written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ptycho.acquisition.checks import check
from ptycho.acquisition.readers import read
from ptycho.acquisition.readers.mapped import mapped_arrays
from ptycho.acquisition.readers.source import open_source
from ptycho.acquisition.summary import summary
from ptycho.assembly.reconstruction import Reconstruction
from ptycho.config.files import from_yaml
from ptycho.config.reading import Reading
from ptycho.config.training import TrainingConfig
from ptycho.config.validate import validate_training
from ptycho.raw_data import RawData
from ptycho_torch.persistence.bundle import read_bundle
from ptycho_torch.persistence.migrate import read_archive
from tests.fuzz import seeds
from tests.fuzz.arrays import odd_npy, odd_npz
from tests.fuzz.bundles import odd_bundle, odd_tensorflow_archive, odd_torch_archive
from tests.fuzz.flips import damaged
from tests.fuzz.hdf5 import odd_hdf5
from tests.fuzz.seeds import Seed
from tests.fuzz.texts import odd_table, odd_yaml

Oddity = Callable[[Random, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """A reader, the good files that inputs are made of, and an oddity that knows their format.

    Attributes
    ----------
    read
        (input, folder for output) -> anything.
    share
        Of the inputs of a run.
    """

    seeds: Callable[[], tuple[Seed, ...]]
    oddity: Oddity
    read: Callable[[Path, Path], Any]
    share: float

    def files(self, rng: Random) -> Seed:
        """Return an input: a good folder with one file of it damaged, odd, or both; the first is the one to read."""
        files = dict(rng.choice(self.seeds()))
        name = rng.choice((next(iter(files)), *files))
        raw, kind = files[name], rng.random()
        if kind < 0.65 and not raw.startswith(b"BZh"):
            raw = self.oddity(rng, raw)
        return files | {name: damaged(rng, raw) if kind > 0.55 else raw}


def _of_its_kind(rng: Random, raw: bytes) -> bytes:
    if raw.startswith(b"PK"):
        return odd_npz(rng, raw)
    if b"\x89HDF" in raw[:1024]:
        return odd_hdf5(rng, raw)
    return odd_npy(rng, raw) if raw.startswith(b"\x93NUMPY") else odd_table(rng, raw)


def _scan(path: Path, out: Path) -> None:
    with open_source(path) as source:
        source.headers()
    scan = read(path, reading=Reading(energy=8800.0, distance=1.7, detector_pixel=75e-6))
    if not any(finding.level == "refuse" for finding in check(scan)):
        summary(scan)


def _mapped(path: Path, out: Path) -> None:
    mapped_arrays(path, out).acquisition()


def _older_client(path: Path, out: Path) -> None:
    RawData.from_file(path)


def _configuration(path: Path, out: Path) -> None:
    validate_training(from_yaml(path, TrainingConfig))


TARGETS = {
    "scan": Target(seeds.scans, odd_npz, _scan, 0.3),
    "beamline scan": Target(seeds.beamlines, _of_its_kind, _scan, 0.15),
    "mapped scan": Target(seeds.scans, odd_npz, _mapped, 0.15),
    "older client": Target(seeds.scans, odd_npz, _older_client, 0.1),
    "reconstruction": Target(seeds.reconstructions, odd_npz, lambda path, out: Reconstruction.read(path), 0.1),
    "configuration": Target(seeds.configurations, odd_yaml, _configuration, 0.15),
    "bundle": Target(seeds.bundles, odd_bundle, lambda path, out: read_bundle(path), 0.07),
    "tensorflow archive": Target(
        seeds.tensorflow_archives, odd_tensorflow_archive, lambda path, out: read_archive(path), 0.03
    ),
    "torch archive": Target(seeds.torch_archives, odd_torch_archive, lambda path, out: read_archive(path), 0.03),
}


def inputs(runs: int, names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield the inputs of a run in their order: target and number."""
    whole = sum(TARGETS[name].share for name in names)
    for name in names:
        for index in range(round(runs * TARGETS[name].share / whole)):
            yield name, index

"""The manifest of a bundle: what it is, what made it, and the hashes of its members."""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from typing import Any

from ptycho.base.errors import BundleError

FORMAT = "ptychopinn-bundle"
VERSION = 1
BACKEND = "pytorch"
# The two names that clients ask for; both are the same weights, seen as network alone and joined with its physics.
MODELS = ("autoencoder", "diffraction_to_obj")
# Fields of manifest.json as JSON knows them.
FIELDS = {"format": str, "version": int, "backend": str, "models": list, "packages": dict, "sha256": dict}
# Where training started from random weights it is not there.
BEGAN_FROM = "began_from"


@dataclass(frozen=True)
class Manifest:
    """Contents of manifest.json.

    Attributes
    ----------
    format, version, backend, models
        What the file is.
    packages
        Package -> version that wrote it.
    sha256
        Member -> hash of its bytes.
    began_from
        Hash of the weights that training started from; empty where they were random.
    """

    format: str
    version: int
    backend: str
    models: tuple[str, ...]
    packages: dict[str, str]
    sha256: dict[str, str]
    began_from: str = ""

    @staticmethod
    def of(members: dict[str, bytes], began_from: str = "") -> "Manifest":
        """Return the manifest of fresh members."""
        hashes = {name: _hash(raw) for name, raw in members.items()}
        return Manifest(FORMAT, VERSION, BACKEND, MODELS, package_versions(), hashes, began_from)

    def to_bytes(self) -> bytes:
        """Return the manifest as JSON."""
        said = {name: value for name, value in asdict(self).items() if name != BEGAN_FROM or value}
        return json.dumps(said, indent=2).encode()

    @staticmethod
    def parse(raw: bytes, where: str) -> "Manifest":
        """Read and judge a manifest.

        Raises
        ------
        BundleError
            It is not JSON, not of this format, or of another version.
        """
        try:
            found: dict[str, Any] = json.loads(raw)
            kind = {name: found[name] for name in ("format", "backend", "version")}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise _foreign(where) from error
        if (kind["format"], kind["backend"]) != (FORMAT, BACKEND):
            raise BundleError(
                f"{where} is of format {kind['format']!r} for backend {kind['backend']!r}; expected {FORMAT!r} for "
                f"{BACKEND!r}; give the wts.h5.zip that `ptycho train` wrote"
            )
        if kind["version"] != VERSION:
            raise BundleError(
                f"{where} is of bundle version {kind['version']!r}; this software reads version {VERSION}; "
                "install a later ptychopinn"
            )
        types = {name: type(value) for name, value in found.items()}
        if types not in (FIELDS, FIELDS | {BEGAN_FROM: str}):
            raise _foreign(where)
        return Manifest(**{**found, "models": tuple(found["models"])})

    def verify(self, member: str, raw: bytes, where: str) -> None:
        """Compare a member with its hash.

        Raises
        ------
        BundleError
            They differ: the file was damaged or changed.
        """
        if self.sha256.get(member) != _hash(raw):
            raise BundleError(
                f"{where}: {member} does not match its hash; the file is damaged or changed; copy it again"
            )


def _foreign(where: str) -> BundleError:
    return BundleError(
        f"{where} has a manifest.json that is not ours; expected {', '.join(FIELDS)} of format {FORMAT!r}; "
        "train again, or give the wts.h5.zip that `ptycho train` wrote"
    )


def package_versions() -> dict[str, str]:
    """Return the versions that matter for repeating a run."""
    from importlib.metadata import PackageNotFoundError, version

    import numpy
    import torch

    try:
        ours = version("ptychopinn")
    except PackageNotFoundError:
        ours = "unknown"
    return {
        "ptychopinn": ours,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
    }


def _hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()

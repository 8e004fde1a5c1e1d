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
    """

    format: str
    version: int
    backend: str
    models: tuple[str, ...]
    packages: dict[str, str]
    sha256: dict[str, str]

    @staticmethod
    def of(members: dict[str, bytes]) -> "Manifest":
        """Return the manifest of new members."""
        return Manifest(FORMAT, VERSION, BACKEND, MODELS, package_versions(), {n: _hash(b) for n, b in members.items()})

    def to_bytes(self) -> bytes:
        """Return the manifest as JSON."""
        return json.dumps(asdict(self), indent=2).encode()

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
        if {name: type(value) for name, value in found.items()} != FIELDS:
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

"""``ptycho doctor``: what is installed, what is missing, and how to get it."""

import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from ptycho.cli.parsing import verb_parser

# Package -> the extra that brings it; None comes with every installation.
PACKAGES = {
    "ptychopinn": None,
    "numpy": None,
    "scipy": None,
    "h5py": None,
    "torch": "torch",
    "lightning": "torch",
    "safetensors": "torch",
    "matplotlib": "report",
    "scikit-image": "report",
}


@dataclass(frozen=True)
class Device:
    """One place to compute on, with the arithmetic that it is fast at."""

    name: str
    accelerator: str
    precisions: tuple[str, ...]


@dataclass(frozen=True)
class Examination:
    """What was found on this machine.

    Attributes
    ----------
    python
        Version of Python.
    packages
        Package -> its version, None where it is not installed.
    devices
        Where PyTorch can compute.
    trouble
        Why PyTorch can't be used although it is installed; None when it can, or is not there.
    """

    python: str
    packages: dict[str, str | None]
    devices: tuple[Device, ...]
    trouble: str | None

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed."""
        return tuple(package for package, found in self.packages.items() if found is None)

    @property
    def can_train(self) -> bool:
        """Whether a network can be trained here."""
        return bool(self.devices) and all(PACKAGES[package] == "report" for package in self.missing)

    @property
    def remedy(self) -> str | None:
        """Return the command that installs what is missing; None when nothing is."""
        extras = sorted({extra for package in self.missing if (extra := PACKAGES[package])})
        if not self.missing:
            return None
        return f'pip install "ptychopinn[{",".join(extras)}]"' if extras else "pip install --force-reinstall ptychopinn"


def run(argv: Sequence[str]) -> int:
    """Say what is installed; return 0 when a network can be trained here and 1 when not."""
    parser = verb_parser("doctor", "Say what is installed, what is missing, and how to get it.")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    given = parser.read(argv)
    found = examine()
    sys.stdout.write(_as_json(found) if given.arguments.json else _as_text(found))
    return 0 if found.can_train else 1


def examine() -> Examination:
    """Look at the installed packages and at the devices that PyTorch sees."""
    packages = {package: _version(package) for package in PACKAGES}
    devices, trouble = _devices() if packages["torch"] else ((), None)
    return Examination(platform.python_version(), packages, devices, trouble)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> tuple[tuple[Device, ...], str | None]:
    """Return the devices of PyTorch, or why it does not start."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return (), f"torch is installed and does not start: {error}"
    found = [Device("CPU", "cpu", ("32-true",))]
    if torch.backends.mps.is_available():
        found.insert(0, Device("Apple GPU", "mps", ("32-true",)))
    if torch.cuda.is_available():
        reduced = ("bf16-mixed", "16-mixed") if torch.cuda.is_bf16_supported() else ("16-mixed",)
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        found = [Device(name, "cuda", ("32-true", *reduced)) for name in names] + found
    return tuple(found), None


def _as_json(found: Examination) -> str:
    conclusion = {"missing": found.missing, "remedy": found.remedy, "can_train": found.can_train}
    return json.dumps({**asdict(found), **conclusion}, indent=2) + "\n"


def _as_text(found: Examination) -> str:
    width = max(map(len, PACKAGES))
    lines = [f"{'python':{width}}  {found.python}"]
    lines += [f"{package:{width}}  {version or 'not installed'}" for package, version in found.packages.items()]
    lines += [f"{'device':{width}}  {d.name} ({d.accelerator}; {', '.join(d.precisions)})" for d in found.devices]
    if found.trouble:
        lines.append(found.trouble)
    if found.remedy:
        lines.append(f"missing: {', '.join(found.missing)}; install with: {found.remedy}")
    lines.append("this machine can train" if found.can_train else "this machine can't train")
    return "\n".join(lines) + "\n"

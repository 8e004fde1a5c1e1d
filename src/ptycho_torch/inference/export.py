"""The trained network as one file for other programs: measured counts in, real and imaginary parts of patches out.

Formats of exchange know real numbers only, so the back projection of the lean network is written in real arithmetic,
with matrices A in place of the inverse Fourier transform: A X A^T.
"""

import copy
import importlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from ptycho.base.atomic import atomic_path
from ptycho.base.errors import BundleError, ConfigError, extra_missing
from ptycho_torch.persistence.manifest import package_versions
from ptycho_torch.physics.backprojection import BackProjection
from ptycho_torch.physics.forward import probe_weight
from ptycho_torch.pinn.pinn import PtychoPINN
from ptycho_torch.pinn.unrolled import UnrolledPINN

# In single precision the network differs from itself by about 1e-6 of its largest value when its sums are taken in
# another order; a lost constant or a transposed axis makes a difference of about 1.
TOLERANCE = 1e-4
TRACED_GROUPS = 2
CHECKED_GROUPS = (1, 5)
INPUT, OUTPUTS = "counts", ("real", "imag", "weight")
# Under this name the file holds its description, as JSON.
DESCRIPTION = "ptychopinn.json"

Pair = tuple[Tensor, Tensor]
Run = Callable[[Float32[Tensor, "group member y x"]], list[Tensor]]


class RealBackProjection(nn.Module):
    """Counts (patch, y, x) to real and imaginary parts of their `BackProjection`, in real arithmetic throughout."""

    def __init__(self, projection: BackProjection) -> None:
        super().__init__()
        axis = torch.eye(projection.modulus.shape[-1], dtype=torch.complex64)
        inverse = torch.fft.ifft(torch.fft.ifftshift(axis, dim=0), dim=0, norm="ortho")
        self.register_buffer("modulus", projection.modulus)
        for name, values in (("direction", projection.direction), ("back", projection.back), ("inverse", inverse)):
            self.register_buffer(name, torch.view_as_real(values).movedim(-1, 0).contiguous())

    def forward(self, x: Float32[Tensor, "patch y x"]) -> Pair:
        """Bring counts back to the sample."""
        residual = (x.sqrt() - self.modulus)[:, None]
        field = (residual * self.direction[0], residual * self.direction[1])
        field = _product(self.inverse, field, torch.matmul)
        field = _product(field, self.inverse.mT, torch.matmul)
        real, imaginary = _product(self.back, field, torch.mul)
        return real.sum(dim=1), imaginary.sum(dim=1)


def _product(a: Pair | Tensor, b: Pair | Tensor, times: Callable[[Tensor, Tensor], Tensor]) -> Pair:
    """Return real and imaginary parts of the product of two complex factors, each given as its parts."""
    return times(a[0], b[0]) - times(a[1], b[1]), times(a[0], b[1]) + times(a[1], b[0])


class CountsToPatches(nn.Module):
    """Counts (group, member, y, x) to real and imaginary parts of patches, and the weight (y, x) that stitches them.

    Every constant is inside: the factor on sqrt(counts), the probe, the weights of the network.
    """

    def __init__(self, pinn: PtychoPINN) -> None:
        super().__init__()
        # Stored in the order of their axes: the writer of PyTorch programs takes any other for a part of a larger one.
        self.network = copy.deepcopy(pinn.network).to(memory_format=torch.contiguous_format)
        probe = pinn.probe.detach()
        self.back = RealBackProjection(BackProjection(probe)) if pinn.back_projected else None
        self.register_buffer("input_scale", pinn.input_scale)
        self.register_buffer("light", probe_weight(probe))  # not as an output is called: ONNX knows one name once

    def forward(self, counts: Float32[Tensor, "group member y x"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the patches of every group."""
        if self.back is None:
            images = counts.sqrt() * self.input_scale
        else:
            images = torch.cat([part.view(counts.shape) for part in self.back(counts.flatten(0, 1))], dim=1)
        amplitude, phase = self.network.amplitude_and_phase(images)
        return amplitude * phase.cos(), amplitude * phase.sin(), self.light.clone()


def export(pinn: PtychoPINN, path: Path, choices: dict[str, Any]) -> float:
    """Write a trained network as ONNX or as a PyTorch program, by the file's ending; whole and compared, or not at all.

    The file is loaded as its reader would and run on groups of other numbers than it was made with.

    Parameters
    ----------
    pinn
        The trained network.
    path
        File that ends with ".onnx" or ".pt2".
    choices
        What the file's description says of the model.

    Returns
    -------
    float
        Largest difference of a patch from the network's own, over the largest value of the network's.

    Raises
    ------
    BackendNotInstalledError
        A package that writes or runs the format is not there.
    BundleError
        The file does not agree with the network.
    ConfigError
        The file has another ending, or the network is an unrolled one.
    """
    if isinstance(pinn, UnrolledPINN):
        raise ConfigError(
            "the network is unrolled: its passes go over the whole scan behind the probe of that scan, which a file of "
            "patterns to patches can't say; expected lean or cnn; train one of these, or use `ptycho reconstruct`"
        )
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path} ends with {path.suffix!r}; expected {' or '.join(FORMATS)}; name the file so")
    write, load, packages = FORMATS[path.suffix]
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise extra_missing(package, "export") from error
    pinn = pinn.cpu().eval()
    with torch.no_grad(), atomic_path(path) as partial:
        with _quietly():
            write(_program(pinn), partial, json.dumps(describe(pinn, choices), indent=2))
        difference = _difference(load(partial), pinn)
        if not difference <= TOLERANCE:  # so that NaN is refused too
            raise BundleError(
                f"{path} differs from the trained network by {difference:.2g} of its largest value; expected at most "
                f"{TOLERANCE:g}; nothing was written: choose another format"
            )
    return difference


def describe(pinn: PtychoPINN, choices: dict[str, Any]) -> dict[str, Any]:
    """Return what somebody needs to know who has the file and not this software."""
    size, members = pinn.probe.shape[-1], pinn.channels
    patches = {"shape": ["group", members, size, size], "dtype": "float32", "unit": "1"}
    return {
        "format": "ptychopinn-export",
        "version": 1,
        "input": {
            INPUT: {
                "shape": ["group", members, size, size],
                "dtype": "float32",
                "unit": "counts",
                "meaning": f"measured patterns (y, x), zero frequency at index [{size // 2}, {size // 2}], bad pixels "
                "0; the members of a group are patterns of neighbouring positions",
            }
        },
        "output": {
            "real": {**patches, "meaning": "real part of the complex object patch (y, x) of every pattern"},
            "imag": {**patches, "meaning": "imaginary part; one global phase is free"},
            "weight": {
                "shape": [size, size],
                "dtype": "float32",
                "unit": "counts",
                "meaning": "light on a patch, sum over probe modes of |P|^2: object = sum(weight patch) / sum(weight), "
                f"each patch laid so that its pixel [{size // 2}, {size // 2}] is the scan position",
            },
        },
        "mean_counts": pinn.intensity_scale**2 * size**2 / 4,
        "mean_counts_meaning": "counts of a frame, mean over the training scan; where those of a scan differ by more "
        "than a factor of 1.5, divide its patterns by the ratio first",
        "model": choices,
        "packages": package_versions(),
    }


def _program(pinn: PtychoPINN) -> torch.export.ExportedProgram:
    groups = torch.export.Dim("group")
    program = torch.export.export(
        CountsToPatches(pinn), (_patterns(pinn, TRACED_GROUPS),), dynamic_shapes={INPUT: {0: groups}}
    )
    for node in program.graph.nodes:
        # Lines of source with the paths of this machine: nobody needs them elsewhere.
        node.meta.pop("stack_trace", None)
    # These would be stored as a pickle.
    program.example_inputs = None
    return program


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the exporters say of their own insides from the user's screen."""
    theirs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in theirs]
    for logger in theirs:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(theirs, levels, strict=True):
            logger.setLevel(level)


def _patterns(pinn: PtychoPINN, groups: int) -> Float32[Tensor, "group member y x"]:
    """Return patterns like measured ones: speckle under the far field of the probe."""
    speckle = torch.empty(groups, pinn.channels, *pinn.probe.shape[1:])
    speckle.exponential_(generator=torch.Generator().manual_seed(groups))
    return torch.fft.fftshift(probe_weight(torch.fft.fft2(pinn.probe, norm="ortho"))) * speckle


def _difference(run: Run, pinn: PtychoPINN) -> float:
    differences = []
    for groups in CHECKED_GROUPS:
        counts = _patterns(pinn, groups)
        real, imaginary, _ = run(counts)
        expected = pinn.predict(counts.flatten(0, 1)).view(counts.shape)
        differences.append((torch.complex(real, imaginary) - expected).abs().max() / expected.abs().max())
    return float(torch.stack(differences).max())


def _write_program(program: torch.export.ExportedProgram, path: Path, description: str) -> None:
    with path.open("wb") as stream:
        torch.export.save(program, stream, extra_files={DESCRIPTION: description})


def _load_program(path: Path) -> Run:
    program = torch.export.load(path).module()
    return lambda counts: list(program(counts))


def _write_onnx(program: torch.export.ExportedProgram, path: Path, description: str) -> None:
    made = torch.onnx.export(program, input_names=[INPUT], output_names=OUTPUTS, dynamo=True, verbose=False)
    assert made is not None
    made.model.metadata_props[DESCRIPTION] = description
    made.save(path)


def _load_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda counts: [torch.from_numpy(part) for part in session.run(OUTPUTS, {INPUT: counts.numpy()})]


Write = Callable[[torch.export.ExportedProgram, Path, str], None]
# Ending -> what writes the format, what runs it, and the packages that these need.
FORMATS: dict[str, tuple[Write, Callable[[Path], Run], tuple[str, ...]]] = {
    ".onnx": (_write_onnx, _load_onnx, ("onnx", "onnxscript", "onnxruntime")),
    ".pt2": (_write_program, _load_program, ()),
}

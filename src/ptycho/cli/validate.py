"""``ptycho validate``: look a whole training over before it starts; nothing is written."""

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from ptycho.acquisition.acquisition import Acquisition
from ptycho.acquisition.checks import Finding
from ptycho.base.errors import OutputError, PtychoError, extra_missing
from ptycho.base.launched import Launched
from ptycho.cli.folders import free_folder
from ptycho.cli.launching import n_processes
from ptycho.cli.parsing import Given
from ptycho.cli.starting import PRODUCTS, goes_on, size_chosen, training_choices, training_parser, training_scans
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.training import TrainingConfig
from ptycho.report.tables import text_table

if TYPE_CHECKING:
    from ptycho_torch.training.estimate import Estimate
    from ptycho_torch.training.fit import Run

# Of the memory that is there, the part above which other programs are in the way.
MOST_MEMORY = 0.8
# Bytes that a checkpoint has for a weight: itself, its running average, two moments of the optimiser.
KEPT = 4 * 4
Step = TypeVar("Step")


@dataclass(frozen=True)
class Check:
    """What one look has found: "ok", "warning" or "refused", and what there is to say."""

    name: str
    result: Literal["ok", "warning", "refused"]
    said: str


def run(argv: Sequence[str]) -> int:
    """Check a training; return 0 when it can start and 2 when it would be refused."""
    parser = training_parser("validate", "Look a whole training over before it starts; nothing is written.")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    given = parser.read(argv)
    checks, forecast = validate(given)
    refused = any(check.result == "refused" for check in checks)
    command = shlex.join(["ptycho", "train", *(word for word in argv if word != "--json")])
    if given.arguments.json:
        found = {
            "checks": [asdict(check) for check in checks],
            "ready": not refused,
            "training": None if forecast is None else asdict(forecast),
            "command": command,
        }
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        rows = [[check.name, check.result, check.said] for check in checks]
        verdict = "it would be refused as it is:" if refused else "ready; start it with:"
        sys.stdout.write(f"{text_table(['check', 'result', 'found'], rows)}\n\n{verdict}\n{command}\n")
    return 2 if refused else 0


def validate(given: Given) -> tuple[list[Check], "Estimate | None"]:
    """Return what every check of a training has found, and its forecast where all that it needs is there.

    The checks are the steps that `ptycho train` begins with; one that needs what an earlier one refused is left out.
    """
    seen = _Seen()
    folder: Path = given.arguments.output_dir
    overwrites = given.arguments.overwrite or given.arguments.resume
    seen.look("folder", lambda: _free(folder, overwrite=overwrites), str)
    choices = seen.look("settings", lambda: _choices(given), _in_short)
    seen.look("packages", _packages, str)
    if choices is None:
        return seen.checks, None
    config, execution, size_given = choices
    execution.enable_progress_bar = False
    read = seen.look("scans", lambda: training_scans(config, size_given=size_given), lambda read: _scans(read[0]))
    if read is None or any(check.name == "packages" and check.result == "refused" for check in seen.checks):
        return seen.checks, None
    for findings in read[1]:
        seen.warn("scans", findings)
    prepared = seen.look("network and device", lambda: _prepared(config, execution, read[0]), _device)
    if prepared is None:
        return seen.checks, None
    seen.look("disk", lambda: _disk(folder, prepared, execution), str)
    return seen.checks, _trial(seen, prepared)


class _Seen:
    """Collects what the checks find."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def look(self, name: str, step: Callable[[], Step], say: Callable[[Step], str]) -> Step | None:
        """Take a step of the training's start; None where it is refused."""
        try:
            result = step()
        except (PtychoError, OSError) as error:
            self.checks.append(Check(name, "refused", " ".join(str(error).split())))
            return None
        self.checks.append(Check(name, "ok", say(result)))
        return result

    def warn(self, name: str, remarks: Sequence[Finding | str]) -> None:
        """Add remarks that don't refuse."""
        self.checks += [Check(name, "warning", str(remark)) for remark in remarks]


def _free(folder: Path, *, overwrite: bool) -> str:
    with free_folder(folder, PRODUCTS, overwrite=overwrite):
        return f"{folder} is free and can be written to"


def _choices(given: Given) -> tuple[TrainingConfig, PyTorchExecutionConfig, bool]:
    resume = goes_on(given)
    return *training_choices(given, resume=resume), size_chosen(given, resume=resume)


def _in_short(choices: tuple[TrainingConfig, PyTorchExecutionConfig, bool]) -> str:
    config, execution, _ = choices
    model = config.model
    return (
        f"{model.architecture} network, {model.model_type}, gridsize {model.gridsize}, {config.nepochs} epochs, "
        f"batch_size {config.batch_size}, learning_rate {execution.learning_rate:g}"
    )


def _packages() -> str:
    try:
        import lightning
        import torch
    except ModuleNotFoundError as error:
        raise extra_missing(error.name or "torch", "torch") from error
    return f"ptychopinn {version('ptychopinn')}, torch {torch.__version__}, lightning {lightning.__version__}"


def _scans(scans: Sequence[Acquisition]) -> str:
    shapes = (f"{scan.n_positions} of {scan.size} x {scan.size} px, {scan.quantity}" for scan in scans)
    return "; validation: ".join(shapes)


def _prepared(config: TrainingConfig, execution: PyTorchExecutionConfig, scans: Sequence[Acquisition]) -> "Run":
    from ptycho_torch.base.devices import device_of
    from ptycho_torch.training.fit import prepare

    n = n_processes(execution.devices, execution.accelerator)
    device_of(Launched(size=n, local_size=n), execution.accelerator)
    # The trial takes place on one device: a step of several takes as long, and sees as many patterns more.
    execution.devices = 1
    return prepare(config, execution, *scans, folder=None)


def _device(prepared: "Run") -> str:
    import torch

    device = prepared.trainer.strategy.root_device
    return f"{device}: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


def _disk(folder: Path, prepared: "Run", execution: PyTorchExecutionConfig) -> str:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    # The best checkpoints, the last one, and the one that replaces it while it is written.
    needed = KEPT * sum(p.numel() for p in prepared.module.parameters()) * (execution.checkpoint_save_top_k + 2)
    free = shutil.disk_usage(there).free
    if free < needed:
        raise OutputError(
            f"{there} has {free / 2**20:.0f} MiB free; expected {needed / 2**20:.0f} MiB for checkpoints and weights; "
            "free some space or choose another folder"
        )
    return f"about {max(needed / 2**20, 1):.0f} MiB needed, {free / 2**30:.1f} GiB free"


def _trial(seen: _Seen, prepared: "Run") -> "Estimate | None":
    from ptycho_torch.training.estimate import try_steps

    forecast = seen.look("trial steps", lambda: try_steps(prepared), _forecast)
    if forecast is not None and forecast.gibibytes > MOST_MEMORY * forecast.available_gibibytes:
        needed, there = f"{forecast.gibibytes:.1f} GiB", f"{forecast.available_gibibytes:.1f} GiB"
        seen.warn("memory", [f"{needed} of the {there} that can be had; end other programs, or lower batch_size"])
    return forecast


def _forecast(found: "Estimate") -> str:
    return (
        f"{found.patterns_per_second:.0f} patterns/s, {found.minutes:.1f} min in all, {found.gibibytes:.1f} GiB of "
        f"memory, {found.available_gibibytes:.1f} GiB can be had"
    )

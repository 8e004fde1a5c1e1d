"""The command line of older scripts: a flag for every choice of a training run, laid over a YAML file."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from ptycho.base.errors import ConfigError
from ptycho.config.convert import placeholder
from ptycho.config.execution import PyTorchExecutionConfig
from ptycho.config.files import C, from_dict, load_yaml_config
from ptycho.config.flags import field_docs, reader, refusal
from ptycho.config.model import ModelConfig
from ptycho.config.old_names import SCHEDULES
from ptycho.config.training import TrainingConfig

CONSOLE_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# Flag, without "--torch-" -> the choice of the machine that it is.
EXECUTION_FLAGS = {
    "accelerator": "accelerator",
    "deterministic": "deterministic",
    "num-workers": "num_workers",
    "accumulate-grad-batches": "accum_steps",
    "learning-rate": "learning_rate",
    "logger": "logger_backend",
    "enable-checkpointing": "enable_checkpointing",
    "checkpoint-save-top-k": "checkpoint_save_top_k",
    "recon-log-every-n-epochs": "recon_log_every_n_epochs",
    "recon-log-num-patches": "recon_log_num_patches",
    "recon-log-fixed-indices": "recon_log_fixed_indices",
    "recon-log-stitch": "recon_log_stitch",
    "recon-log-max-stitch-samples": "recon_log_max_stitch_samples",
}
# Flag, without "--torch-" -> the choice of the training that it is.
TRAINING_FLAGS = {
    "scheduler": "scheduler",
    "plateau-factor": "plateau_factor",
    "plateau-patience": "plateau_patience",
    "plateau-min-lr": "plateau_min_lr",
    "plateau-threshold": "plateau_threshold",
}

_MODEL = frozenset(field.name for field in fields(ModelConfig))


class ScriptParser(argparse.ArgumentParser):
    """The flags of an older script. A mistake is one line on stderr and exit status 2."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog, description=description, allow_abbrev=False, argument_default=None)
        volume = self.add_mutually_exclusive_group()
        volume.add_argument("--quiet", action="store_true", help="say only what is wrong")
        volume.add_argument("--verbose", action="store_true", help="say more")
        self.add_argument("--console-level", choices=CONSOLE_LEVELS, default="INFO", help="least level of messages")
        self.add_argument("--config", type=Path, metavar="FILE", help="YAML file of choices; flags win over it")

    def add_choice(
        self, flag: str, cls: type[Any], name: str, older_words: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Make the field ``name`` of a configuration the flag ``flag``; a choice that is not made is None.

        True and false are words after the flag, and the flag alone is true. ``older_words`` are read as others.
        """
        kind = _without_none(get_type_hints(cls)[name])
        several = get_origin(kind) is list
        member = get_args(kind)[0] if several else kind
        read = reader(flag, member)
        switch = bool in (kind, *get_args(kind))
        self.add_argument(
            flag,
            type=lambda text: read(older_words.get(text, text)),
            nargs="+" if several else "?" if switch else None,
            const=True if switch else None,
            metavar=placeholder(member),
            help=field_docs(cls)[name].replace("%", "%%"),
        )

    def error(self, message: str) -> NoReturn:
        """Print one line that says what is wrong, with the nearest flag, and exit with 2."""
        line = refusal(message, [flag for action in self._actions for flag in action.option_strings])
        self.exit(2, f"{self.prog}: error: {line}; see {self.prog} --help\n")


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what a command line asks of a training run; a choice that it does not make is None.

    Flags are ``--field`` for every field of `ModelConfig` and `TrainingConfig`, ``--torch-...`` for choices of the
    machine and of the schedule, ``--config``, ``--do_stitching`` and those of the log.

    Parameters
    ----------
    argv
        Words after the name of the script; those of the running program when None.
    """
    parser = ScriptParser("ptycho_train", "Train a network on a scan, with the flags of older scripts.")
    parser.add_argument("--do_stitching", action="store_true", help="reconstruct --test_data_file too")
    for cls in (ModelConfig, TrainingConfig):
        for field in fields(cls):
            if field.name != "model":
                parser.add_choice(f"--{field.name}", cls, field.name)
    for flag, name in EXECUTION_FLAGS.items():
        parser.add_choice(f"--torch-{flag}", PyTorchExecutionConfig, name)
    for flag, name in TRAINING_FLAGS.items():
        parser.add_choice(f"--torch-{flag}", TrainingConfig, name, SCHEDULES)
    return parser.parse_args(sys.argv[1:] if argv is None else list(argv))


def setup_configuration(args: argparse.Namespace, yaml_path: Path | str | None = None) -> TrainingConfig:
    """Return the configuration of a training run: what ``args`` say, over the YAML file, over the defaults.

    Parameters
    ----------
    args
        As `parse_arguments` returns them; what is None or absent was not given.
    yaml_path
        YAML file with fields of a training run; those of the model by their names alone or under ``model:``.

    Raises
    ------
    ConfigError
        The file can't be read, has a choice that does not exist, or says one twice.
    """
    given = vars(args)
    special = {name: given.get(_destination(flag)) for flag, name in TRAINING_FLAGS.items()}
    return configuration(TrainingConfig, given | {name: v for name, v in special.items() if v is not None}, yaml_path)


def execution_configuration(args: argparse.Namespace, yaml_path: Path | str | None = None) -> PyTorchExecutionConfig:
    """Return the choices of the machine: the ``--torch-`` flags over ``execution:`` of the YAML file.

    Raises
    ------
    ConfigError
        A value is outside its range, or the file can't be used.
    """
    given = {name: vars(args).get(_destination(flag)) for flag, name in EXECUTION_FLAGS.items()}
    file = (load_yaml_config(yaml_path) if yaml_path else {}).get("execution", {})
    if not isinstance(file, Mapping):
        raise ConfigError(f"execution is {file!r} in {yaml_path}; expected choices by name; write `name: value` lines")
    return from_dict(
        {**file, **{name: value for name, value in given.items() if value is not None}},
        PyTorchExecutionConfig,
        f"execution: of {yaml_path}",
    )


def configuration(cls: type[C], given: Mapping[str, Any], yaml_path: Path | str | None) -> C:
    """Return the configuration of class ``cls`` that flags make, over the YAML file, over the defaults.

    Of ``given`` only fields are looked at, and None is no choice. In the file, ``execution:`` is somebody else's.

    Raises
    ------
    ConfigError
        As `setup_configuration`.
    """
    return from_dict(choices(cls, given, yaml_path), cls, _source(yaml_path))


def choices(cls: type[C], given: Mapping[str, Any], yaml_path: Path | str | None) -> dict[str, Any]:
    """Return what somebody chose of a configuration of class ``cls``, by name: flags over the YAML file, no defaults.

    The parameters and the errors are those of `configuration`; choices of the model stand under "model".
    """
    source = _source(yaml_path)
    file = _nested(load_yaml_config(yaml_path) if yaml_path else {}, source)
    file.pop("execution", None)
    own = {field.name for field in fields(cls)} - {"model"}
    chosen = {name: value for name, value in given.items() if value is not None and name in own | _MODEL}
    if "n_groups" in chosen or "n_images" in chosen:
        # Two names of one choice: a flag by either of them wins over the file.
        file = {name: value for name, value in file.items() if name not in ("n_groups", "n_images")}
    model = {**file.get("model", {}), **{name: value for name, value in chosen.items() if name in _MODEL}}
    flat = {name: value for name, value in chosen.items() if name in own}
    return {**file, **flat, "model": model}


def _source(yaml_path: Path | str | None) -> str:
    return str(yaml_path or "the command line")


def _nested(file: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return a file's choices with those of the model under "model", wherever they stood."""
    model = file.get("model", {})
    if not isinstance(model, Mapping):
        raise ConfigError(f"model is {model!r} in {source}; expected choices by name; write `name: value` lines")
    flat = {name: value for name, value in file.items() if name in _MODEL}
    twice = sorted(name for name in flat if name in model and model[name] != flat[name])
    if twice:
        raise ConfigError(
            f"{source} says {', '.join(twice)} twice, alone and under model, with two values; expected one; remove one"
        )
    return {name: value for name, value in file.items() if name not in _MODEL} | {"model": {**flat, **model}}


def _destination(flag: str) -> str:
    return f"torch_{flag.replace('-', '_')}"


def _without_none(hint: Any) -> Any:
    """Return a type without None: on the command line a choice that is not made is left out."""
    members = get_args(hint)
    return Union[tuple(m for m in members if m is not NoneType)] if NoneType in members else hint  # noqa: UP007

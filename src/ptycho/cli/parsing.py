"""Flags and YAML files to configurations, for every verb alike."""

import argparse
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from ptycho.base import logs
from ptycho.base.errors import ConfigError
from ptycho.config.convert import in_words, placeholder
from ptycho.config.files import C, Config, from_dict, load_yaml_config
from ptycho.config.flags import UNREAD, field_docs, reader, refusal, typed
from ptycho.config.preset import Preset, read_preset
from ptycho.config.reading import Reading
from ptycho.live.address import ADDRESS, host_and_port


@dataclass(frozen=True)
class Given:
    """What a user asked for: the verb's own arguments, and the choices in the file and in the flags.

    Attributes
    ----------
    arguments
        The verb's own arguments, by name.
    choices
        Class of configuration -> the choices that were made, flags over file over preset.
    singly
        The same without those of a preset.
    source
        Where the choices come from, for messages.
    """

    arguments: Namespace
    choices: Mapping[type[Any], Any]
    singly: Mapping[type[Any], Any]
    source: str

    def config(
        self,
        cls: type[C],
        values: Mapping[str, Any] | None = None,
        below: Mapping[str, Any] | None = None,
        above_preset: Mapping[str, Any] | None = None,
    ) -> C:
        """Return the configuration of class ``cls``: what was asked for over ``below``, and ``values`` over both.

        ``above_preset`` gives way to what was asked for in the file and by flags, and not to a preset.

        Raises
        ------
        ConfigError
            The file has a choice that does not exist, or that is of another type.
        """
        asked = self.choices[cls] if below is None else _over(below, self.choices[cls])
        if above_preset is not None:
            asked = _over(_over(asked, above_preset), self.singly[cls])
        return from_dict(_over(asked, values or {}), cls, self.source)


class VerbParser(ArgumentParser):
    """The flags of a verb. A mistake is one line on stderr and exit status 2."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._configs: dict[str, type[Config]] = {}
        self._skipped: set[str] = set()

    def add_config(self, cls: type[Config], key: str = "", skip: Sequence[str] = (), *, presets: bool = True) -> None:
        """Make every field of ``cls`` a flag, ``--field`` or ``--key.field``, except those that the verb fills itself.

        The first call also adds ``--config``, a YAML file of choices, and with ``presets`` those that are packaged.
        """
        if not self._configs and presets:
            self.add_argument(
                "--preset",
                type=reader("--preset", Preset),
                metavar="NAME",
                help=f"{in_words(Preset)}: choices that belong together; the file and flags win over them",
            )
        if not self._configs:
            self.add_argument("--config", type=Path, metavar="FILE", help="YAML file of choices; flags win over it")
            self.epilog = "Defaults stand in brackets. Flags of older scripts that nothing reads any more are accepted."
        self._configs[key] = cls
        self._skipped.update(skip)
        self._add_fields(cls, f"{key}." if key else "", skip)

    def add_reading(self) -> None:
        """Make every choice about reading a scan a flag; see `reading_of`."""
        self._add_fields(Reading, "", ())

    def read(self, argv: Sequence[str]) -> Given:
        """Return what ``argv`` asks for, wherever in it a flag or the file stands, and start the log.

        Raises
        ------
        ConfigError
            The YAML file can't be read.
        """
        arguments = self.parse_args(list(argv))
        logs.configure(quiet=arguments.quiet, verbose=arguments.verbose)
        source = arguments.config if self._configs else None
        flags = arguments.as_dict()
        preset = read_preset(flags["preset"]) if flags.get("preset") else {}
        file = load_yaml_config(source) if source else {}
        choices, singly = self._choices(_over(preset, file), flags), self._choices(file, flags)
        return Given(arguments, choices, singly, str(source or "the command line"))

    def _choices(self, file: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[type[Any], Any]:
        choices: dict[type[Any], Any] = {}
        for key, cls in self._configs.items():
            if key:
                choices[cls] = _over(file.get(key, {}), flags.get(key, {}))
            else:
                names = {field.name for field in fields(cls)} - self._skipped
                own = {name: flags[name] for name in names if name in flags}
                choices[cls] = _over({k: v for k, v in file.items() if k not in self._configs}, own)
        return choices

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print one line that says what is wrong, with the nearest flag, and exit with 2."""
        line = refusal(message, [flag for action in self._actions for flag in action.option_strings])
        self.exit(2, f"{self.prog}: error: {line}; see {self.prog} --help\n")

    def _add_fields(self, cls: type[Any], prefix: str, skip: Sequence[str]) -> None:
        group = self.add_argument_group((inspect.getdoc(cls) or "").split(".\n")[0])
        hints, docs = get_type_hints(cls), field_docs(cls)
        for field in fields(cls):
            name, hint = field.name, hints[field.name]
            if name in skip:
                continue
            if is_dataclass(hint) and isinstance(hint, type):
                self._add_fields(hint, f"{prefix}{name}.", ())
                continue
            shown = "" if field.default is MISSING else f" [{typed(field.default)}]"
            group.add_argument(
                f"--{prefix}{name}",
                type=reader(f"--{prefix}{name}", hint),
                default=argparse.SUPPRESS,
                metavar=placeholder(hint),
                help=argparse.SUPPRESS if docs[name].endswith(UNREAD) else f"{docs[name]}{shown}",
            )


class _Formatter(DefaultHelpFormatter):
    """Help as it is written, wide enough for long names of flags; the usage without the flags of configurations."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped

    def add_usage(self, usage: str | None, actions: Iterable[argparse.Action], *args: Any, **kwargs: Any) -> None:
        super().add_usage(usage, [action for action in actions if action.default != argparse.SUPPRESS], *args, **kwargs)

    def _get_help_string(self, action: argparse.Action) -> str:
        return action.help or ""


def verb_parser(verb: str, description: str) -> VerbParser:
    """Return the parser of ``ptycho VERB``, with the flags that every verb has."""
    parser = VerbParser(prog=f"ptycho {verb}", description=description, formatter_class=_Formatter, allow_abbrev=False)
    volume = parser.add_mutually_exclusive_group()
    volume.add_argument("--quiet", action="store_true", help="say only what is wrong")
    volume.add_argument("--verbose", action="store_true", help="say more")
    return parser


def reading_of(arguments: Namespace) -> Reading:
    """Return how a scan shall be read, from the flags of `VerbParser.add_reading`.

    Raises
    ------
    ConfigError
        A choice is outside its range.
    """
    given = arguments.as_dict()
    return Reading(**{field.name: given[field.name] for field in fields(Reading) if field.name in given})


def add_live(parser: VerbParser) -> None:
    """Add the flag that serves a page while the verb works."""
    parser.add_argument(
        "--live",
        nargs="?",
        const=ADDRESS,
        type=_address,
        metavar="HOST:PORT",
        help=f"serve a page that shows how it goes [{ADDRESS}, this machine alone]",
    )


def _address(text: str) -> str:
    try:
        host_and_port(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def at_least(arguments: Namespace, **least: int) -> None:
    """Refuse arguments of a verb that are smaller than they may be.

    Raises
    ------
    ConfigError
        With the flag and its value.
    """
    for name, smallest in least.items():
        if arguments[name] < smallest:
            raise ConfigError(f"--{name} is {arguments[name]}; expected {smallest} or more; correct it")


def _over(below: Any, above: Mapping[str, Any]) -> Any:
    """Return the mapping ``below`` with ``above`` over it; what is no mapping stays, to be refused by its reader."""
    if not isinstance(below, Mapping):
        return below
    nested = {name: _over(below.get(name, {}), value) for name, value in above.items() if isinstance(value, Mapping)}
    return {**below, **above, **nested}

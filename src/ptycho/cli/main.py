"""``ptycho VERB``: finds the verb, and turns what went wrong into one line."""

import importlib
import sys
from collections.abc import Sequence

from ptycho.base.errors import ConfigError
from ptycho.base.processors import take_granted_threads
from ptycho.cli.launching import end_with_launcher
from ptycho.cli.status import FAILED, exit_status
from ptycho.config.checks import nearest

VERBS = {
    "demo": "simulate a scan, train on it, reconstruct, compare, and show it on one page",
    "simulate": "write a simulated scan",
    "inspect": "say what a scan file holds and whether it can be used",
    "validate": "look a whole training over before it starts",
    "pretrain": "train a network on simulated experiments, before any scan is seen",
    "train": "train a network on a scan",
    "reconstruct": "turn a scan into an image with a trained network",
    "compare": "score a reconstruction against a reference",
    "convert": "write a scan in another layout, or turn a trained network of the older software into ours",
    "export": "write a trained network as ONNX or as a PyTorch program, for other software",
    "doctor": "say what is installed, what is missing, and how to get it",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit status: 0 when all went well, 2 after an error, 130 after Ctrl-C.

    With ``PTYCHO_DEBUG=1`` in the environment an error shows its traceback instead of one line.
    """
    end_with_launcher()
    arguments = list(sys.argv[1:] if argv is None else argv)
    take_granted_threads()
    known = [argument for argument in arguments[:1] if argument in VERBS]
    return exit_status(" ".join(["ptycho", *known]), lambda: _run(arguments))


def _run(arguments: list[str]) -> int:
    """Run the verb that ``arguments`` begin with."""
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0 if arguments else FAILED
    verb, rest = arguments[0], arguments[1:]
    if verb == "--version":
        sys.stdout.write(f"ptychopinn {_version()}\n")
        return 0
    if verb not in VERBS:
        raise ConfigError(
            f"{verb!r} is not a verb{nearest(verb, VERBS)}; expected one of {', '.join(VERBS)}; see ptycho --help"
        )
    return int(importlib.import_module(f"ptycho.cli.{verb}").run(rest))


def _version() -> str:
    from importlib.metadata import version

    return version("ptychopinn")


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {line}" for verb, line in VERBS.items())
    return (
        "usage: ptycho VERB ...\n\n"
        "Turn ptychography scans into images with physics-informed networks.\n\n"
        f"verbs:\n{verbs}\n\n"
        "`ptycho VERB --help` lists the choices of a verb; `ptycho --version` says which version this is.\n"
    )


if __name__ == "__main__":
    sys.exit(main())

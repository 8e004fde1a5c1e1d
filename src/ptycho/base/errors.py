"""The one hierarchy of errors. A message says what was found, what was expected and what to do."""

from ptycho.base.printable import printable


class PtychoError(Exception):
    """Base of every error that this software raises on purpose; the command line prints it and exits with 2.

    Its text is one line that can be printed, whatever the names and values of a file that it repeats.
    """

    def __str__(self) -> str:
        """Return the message, fit for a terminal."""
        return printable(super().__str__())


class ConfigError(PtychoError, ValueError):
    """A choice that a human made can't be used."""


class DataError(PtychoError, ValueError):
    """A measured or simulated data file can't be used."""


class BundleError(PtychoError, ValueError):
    """A file of trained weights can't be used."""


class BundleNotFoundError(BundleError, FileNotFoundError):
    """There is no file of trained weights where one was expected."""


class OutputError(PtychoError, OSError):
    """A result can't be written where the user wants it."""


class LostError(PtychoError, RuntimeError):
    """Another process of a run on several devices is gone."""


class BackendNotInstalledError(PtychoError, ModuleNotFoundError):
    """A part of the software needs a package that is not installed."""


def extra_missing(package: str, extra: str) -> BackendNotInstalledError:
    """Return the error for a missing optional package, with the command that installs it.

    Examples
    --------
    >>> print(extra_missing("torch", "torch"))
    torch is not installed; this step needs it: pip install "ptychopinn[torch]"
    """
    return BackendNotInstalledError(
        f'{package} is not installed; this step needs it: pip install "ptychopinn[{extra}]"', name=package
    )

"""Where verbs write, and what they never overwrite."""

import os
from collections.abc import Sequence
from pathlib import Path

from ptycho.base.errors import OutputError


def output_folder(folder: Path, products: Sequence[str], *, overwrite: bool) -> Path:
    """Make a folder ready for its products, before any work is done.

    Raises
    ------
    OutputError
        It can't be written to, or holds such a product already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"output_dir {folder} is not a folder; expected one; choose another path") from error
    except OSError as error:
        raise OutputError(f"can't make the folder {folder}: {error.strerror}; choose one you may write to") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} can't be written to; choose one that you may write to")
    found = [name for name in products if (folder / name).exists()]
    if found and not overwrite:
        raise OutputError(f"{folder} holds {', '.join(found)} already; choose another folder or give --overwrite")
    return folder


def output_file(path: Path, *, overwrite: bool) -> Path:
    """Make sure that a file can be written, before any work is done.

    Raises
    ------
    OutputError
        It exists already, or its folder can't be written to.
    """
    output_folder(path.parent, [path.name], overwrite=overwrite)
    return path

"""Where verbs write, and what they never overwrite."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ptycho.base.errors import OutputError


def output_folder(folder: Path, products: Sequence[str], *, overwrite: bool) -> Path:
    """Make sure that a folder can take its products, before any work is done; the first product makes it.

    Raises
    ------
    OutputError
        It can't be written to, or holds such a product already.
    """
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"{folder} is not a folder; expected one; choose another path") from error
    except OSError as error:
        raise OutputError(f"can't make the folder {folder}: {error.strerror}; choose one you may write to") from error
    finally:
        # A run that is refused later on shall leave no empty folder behind.
        for path in absent:
            with suppress(OSError):
                path.rmdir()
    if not writable:
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
        It exists already or is a folder, or its folder can't be written to.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; expected a file to write; name one in it")
    output_folder(path.parent, [path.name], overwrite=overwrite)
    return path

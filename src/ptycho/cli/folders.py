"""Where verbs write, and what they never overwrite: one run at a time, and all of a result or nothing of it."""

import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ptycho.base.atomic import PARTIAL, remove_partials, remove_whole, to_disk
from ptycho.base.errors import OutputError

logger = logging.getLogger(__name__)

# Where an earlier result waits, in its folder, until the one that replaces it is whole.
EARLIER = "earlier-result"
STAGED = "results"


@contextmanager
def output_folder(folder: Path, products: Sequence[str], *, overwrite: bool) -> Iterator[Path]:
    """Hold a folder for the products of one run, as `free_folder` does, without what killed runs left half written."""
    with free_folder(folder, products, overwrite=overwrite):
        remove_partials(folder, [*products, STAGED])
        yield folder


@contextmanager
def free_folder(folder: Path, products: Sequence[str], *, overwrite: bool) -> Iterator[Path]:
    """Hold a folder that can take the products of one run; an empty one that was made here goes again.

    Raises
    ------
    OutputError
        It can't be written to, another run holds it, or it holds such a product already.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        _make(folder)
        with _held(folder):
            found = [name for name in products if (folder / name).exists()]
            if found and not overwrite:
                raise OutputError(
                    f"{folder} holds {', '.join(found)} already; choose another folder or give --overwrite"
                )
            remove_partials(folder, [*products, STAGED, EARLIER])
            yield folder
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


def output_file(path: Path, *, overwrite: bool) -> Path:
    """Make sure that a file can be written, before any work is done.

    Raises
    ------
    OutputError
        It exists already or is a folder, or its folder can't be written to.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; expected a file to write; name one in it")
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        _make(path.parent)
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
    if path.exists() and not overwrite:
        raise OutputError(f"{path.parent} holds {path.name} already; choose another folder or give --overwrite")
    return path


@contextmanager
def all_together(folder: Path, products: Sequence[str]) -> Iterator[Path]:
    """Yield an empty folder for products, which take their places in ``folder`` together when the block ends well.

    Until then an earlier result is as it was. It makes room before the first product takes its place, so that no
    mixture of two results is ever seen.

    Raises
    ------
    OutputError
        Something can't be written.
    """
    try:
        staged = Path(tempfile.mkdtemp(prefix=PARTIAL, suffix=f"-{STAGED}", dir=folder))
    except OSError as error:
        raise OutputError(f"can't write to {folder}: {error.strerror}; choose one that you may write to") from error
    try:
        yield staged
        set_aside(folder, products)
        for path in staged.iterdir():
            path.replace(folder / path.name)
        to_disk(folder)
        forget_earlier(folder, products)
    except OutputError as error:
        raise OutputError(str(error).replace(str(staged), str(folder))) from error
    finally:
        shutil.rmtree(staged)


def set_aside(folder: Path, products: Sequence[str]) -> None:
    """Move an earlier result out of the way of the one that replaces it, without copying anything.

    Parameters
    ----------
    products
        Names in ``folder``. The first makes a result of the others, and is moved last: what is there without it was
        left by a run that was killed, and is removed.
    """
    whole, aside = folder / products[0], folder / EARLIER
    if not whole.exists():
        for name in products:
            remove_whole(folder / name)
        return
    logger.info("the earlier result in %s waits in %s until this one is whole", folder, aside)
    if (aside / products[0]).exists():
        remove_whole(aside)
    aside.mkdir(exist_ok=True)
    for name in reversed(products):
        if (folder / name).exists():
            remove_whole(aside / name)
            (folder / name).replace(aside / name)


def forget_earlier(folder: Path, products: Sequence[str]) -> None:
    """Remove the result that was set aside: the one that replaces it is whole."""
    if (folder / EARLIER / products[0]).exists():
        remove_whole(folder / EARLIER)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except (FileExistsError, NotADirectoryError) as error:
        raise OutputError(f"{folder} is not a folder; expected one; choose another path") from error
    except OSError as error:
        raise OutputError(f"can't make the folder {folder}: {error.strerror}; choose one you may write to") from error
    if not writable:
        raise OutputError(f"the folder {folder} can't be written to; choose one that you may write to")


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; the hold goes with the process, however it ends, and leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            os.close(handle)
            raise OutputError(
                f"another run is writing to {folder}; expected a folder of its own for each run; wait until it is "
                "finished, or choose another folder"
            ) from error
        logger.debug("%s lies on a file system that can't be held (%s)", folder, error.strerror)
    try:
        yield
    finally:
        os.close(handle)

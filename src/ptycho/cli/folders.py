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

from ptycho.acquisition.readers.folder import ARRAYS, MANIFEST, PATTERNS
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
        remove_partials(folder, [*products, STAGED, EARLIER])
        yield folder


@contextmanager
def free_folder(folder: Path, products: Sequence[str], *, overwrite: bool) -> Iterator[Path]:
    """Hold a folder that can take the products of one run; an empty one that was made here goes again.

    Parameters
    ----------
    products
        Names below the folder, or patterns of names.

    Raises
    ------
    OutputError
        It can't be written to, another run holds it, or it holds such a product already.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        _make(folder)
        with _held(folder):
            found = [str(path.relative_to(folder)) for path in present(folder, products)]
            if found and not overwrite:
                raise OutputError(
                    f"{folder} holds {', '.join(found)} already; choose another folder or give --overwrite"
                )
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
        It exists already, or is a folder, a pipe or a device, or its folder can't be written to.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; expected a file to write; name one in it")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is a pipe or a device; expected a file to write; choose another name")
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


def output_scan(path: Path, *, overwrite: bool) -> Path:
    """Make sure that a folder with a scan can be written, before any work is done.

    Raises
    ------
    OutputError
        Something is there already that must not be replaced, or the folder around it can't be written to.
    """
    if not path.exists():
        return output_file(path, overwrite=overwrite)
    ours = {MANIFEST, PATTERNS, ARRAYS}
    if not (path / MANIFEST).is_file() or {file.name for file in path.iterdir()} - ours:
        raise OutputError(
            f"{path} is there and holds no scan of ours, or something else too; expected {', '.join(sorted(ours))} and "
            "nothing beside them; choose another name"
        )
    if not overwrite:
        raise OutputError(f"{path.parent} holds {path.name} already; choose another folder or give --overwrite")
    _make(path.parent)
    return path


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty folder for what is needed in between; it goes when the block ends."""
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    _make(parent)
    scratch = Path(tempfile.mkdtemp(prefix=PARTIAL, suffix="-scratch", dir=parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def all_together(folder: Path, products: Sequence[str]) -> Iterator[Path]:
    """Yield an empty folder for products, which take their places in ``folder`` together when the block ends well.

    Until then an earlier result is as it was. It makes room before the first file takes its place, so that no mixture
    of two results is ever seen; the first of ``products`` comes last: where it is, all others are.

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
        files = [path for path in staged.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path == staged / products[0]):
            _move(path, staged, folder)
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
        Names below ``folder``, or patterns of names. The first makes a result of the others, and is moved last: what
        is there without it was left by a run that was killed, and is removed.

    Raises
    ------
    OutputError
        The place where it would wait leads out of the folder.
    """
    found, aside = present(folder, products), folder / EARLIER
    if not (folder / products[0]).exists():
        for path in found:
            remove_whole(path)
        return
    if aside.is_symlink():
        raise OutputError(
            f"{aside} is a link; expected a folder that only results use; remove it or choose another folder"
        )
    logger.info("the earlier result in %s waits in %s until this one is whole", folder, aside)
    if (aside / products[0]).exists():
        remove_whole(aside)
    for path in reversed(found):
        _move(path, folder, aside)


def forget_earlier(folder: Path, products: Sequence[str]) -> None:
    """Remove the result that was set aside: the one that replaces it is whole."""
    if (folder / EARLIER / products[0]).exists():
        remove_whole(folder / EARLIER)


def present(folder: Path, products: Sequence[str]) -> list[Path]:
    """Return the products that a folder holds, in their order."""
    return [path for name in products for path in sorted(folder.glob(name))]


def _move(path: Path, source: Path, target: Path) -> None:
    moved = target / path.relative_to(source)
    moved.parent.mkdir(parents=True, exist_ok=True)
    path.replace(moved)


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
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            os.close(descriptor)
            raise OutputError(
                f"another run is writing to {folder}; expected a folder of its own for each run; wait until it is "
                "finished, or choose another folder"
            ) from error
        logger.debug("%s lies on a file system that can't be held (%s)", folder, error.strerror)
    try:
        yield
    finally:
        os.close(descriptor)

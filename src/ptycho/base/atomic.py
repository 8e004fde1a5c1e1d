"""Write a file, or the files of a folder, whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ptycho.base.errors import OutputError

# What a file or folder is called until it is whole; a run that was killed may leave one, and nobody reads it.
PARTIAL = ".partial-"


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that takes its place when the block ends well.

    When the block fails the temporary file is removed and ``target`` is as it was. A power cut leaves the old file or
    the whole one too: its bytes are on the disk before it takes its name.

    Raises
    ------
    OutputError
        The folder can't be written or the disk is full.
    """
    target = Path(target)
    with _told(target, "choose a folder that you may write to"):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=PARTIAL, suffix=f"-{target.name}", dir=target.parent)
        os.close(descriptor)
    partial = Path(name)
    try:
        with _told(target, "free some space or choose another folder"):
            yield partial
            partial.chmod(0o666 & ~_umask())
            to_disk(partial)
            partial.replace(target)
            to_disk(target.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target`` that takes its place when the block ends well.

    When the block fails the folder is removed and ``target`` is as it was. What was there is removed when the other has
    its place, however long that takes.

    Raises
    ------
    OutputError
        The folder can't be written or the disk is full.
    """
    with _told(target, "choose a folder that you may write to"):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, suffix=f"-{target.name}", dir=target.parent))
    try:
        with _told(target, "free some space or choose another folder"):
            yield partial
            for path in partial.iterdir():
                path.chmod(0o666 & ~_umask())
                to_disk(path)
            partial.chmod(0o777 & ~_umask())
            to_disk(partial)
            _exchange(partial, target)
            to_disk(target.parent)
    except OutputError as error:
        raise OutputError(str(error).replace(str(partial), str(target))) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _told(target: Path, advice: str) -> Iterator[None]:
    """Say in one line what the system refuses, and what to do; what is told already stays as it is."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"can't write {target}: {error.strerror or error}; {advice}") from error


def _exchange(partial: Path, target: Path) -> None:
    """Give a folder its place, and remove what was there, or put that back where the place can't be taken."""
    if not target.exists():
        partial.replace(target)
        return
    doomed = Path(tempfile.mkdtemp(prefix=PARTIAL, suffix=f"-{target.name}", dir=target.parent))
    try:
        target.replace(doomed / target.name)
        try:
            partial.replace(target)
        except BaseException:
            (doomed / target.name).replace(target)
            raise
    finally:
        shutil.rmtree(doomed)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` to ``target`` as UTF-8, whole or not at all."""
    with atomic_path(target) as partial:
        partial.write_text(text, encoding="utf-8")


def write_bytes(target: Path, raw: bytes | memoryview) -> None:
    """Write ``raw`` to ``target``, whole or not at all."""
    with atomic_path(target) as partial:
        partial.write_bytes(raw)


def remove_whole(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, so that no half of it is ever seen under its name.

    A link goes, and what it leads to stays.
    """
    if path.is_dir() and not path.is_symlink():
        doomed = Path(tempfile.mkdtemp(prefix=PARTIAL, suffix=f"-{path.name}", dir=path.parent))
        path.replace(doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)


def remove_partials(folder: Path, names: Sequence[str]) -> None:
    """Remove what runs that were killed left half written under these names (or patterns) below a folder.

    Nobody else may be writing them.
    """
    for name in map(Path, names):
        for path in (folder / name.parent).glob(f"{PARTIAL}*-{name.name}"):
            remove_whole(path)


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

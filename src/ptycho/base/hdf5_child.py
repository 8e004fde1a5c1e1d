"""The child of `ptycho.base.hdf5_trial`, a program of its own: reads an HDF5 file, and lives or dies."""

import io
import resource
import sys
from contextlib import suppress
from math import prod

import h5py

SECONDS = 2  # of processor time for one object at least, and one more at most: the library hangs in one
MEMORY = 2**32
MOST_OBJECTS = 100_000  # that are looked at; readers refuse more
LARGEST_READ = 2**26  # bytes of values that are read, in all datasets
# What h5py makes of an error in the file; the parent meets the same and tells the user.
ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
    AttributeError,
)


def look_over(source: str | io.BytesIO) -> None:
    """Ask the library for all that a reader may ask for, within limits."""
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))
    _allow_time()
    with suppress(*ERRORS), h5py.File(source, "r", locking=False) as file:
        room, left = LARGEST_READ, MOST_OBJECTS
        groups: list[h5py.Group] = [file["/"]]
        seen: set[int] = set()
        while groups:
            group = groups.pop()
            with suppress(*ERRORS):
                for name in group:
                    left -= 1
                    if left < 0:
                        return
                    _allow_time()
                    with suppress(*ERRORS):
                        room -= _look(group, name, groups, seen, room)


def _allow_time() -> None:
    """Let the processor work for ``SECONDS`` from now; then this program dies."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limit = int(used.ru_utime + used.ru_stime) + 1 + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _look(group: h5py.Group, name: str, groups: list[h5py.Group], seen: set[int], room: int) -> int:
    """Look at a member of a group once, and return how many bytes of its values were read."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        return 0
    member = group[name]
    address = h5py.h5o.get_info(member.id).addr
    if address in seen:
        return 0
    seen.add(address)
    for attribute in member.attrs:
        with suppress(*ERRORS):
            member.attrs[attribute]
    if isinstance(member, h5py.Group):
        groups.append(member)
    return _read(member, room) if isinstance(member, h5py.Dataset) else 0


def _read(dataset: h5py.Dataset, room: int) -> int:
    """Read values of a dataset, those at its ends where there is no room for all, and return their bytes."""
    plist = dataset.id.get_create_plist()
    for index in range(plist.get_nfilters()):
        plist.get_filter(index)
    if dataset.external or dataset.shape is None:
        return 0
    if dataset.is_virtual and any(each.file_name != "." for each in dataset.virtual_sources()):
        return 0
    if dataset.chunks:
        dataset.id.get_num_chunks()
        dataset.id.chunk_iter(lambda chunk: None)
    if dataset.nbytes <= room:
        dataset[()]
        return int(dataset.nbytes)
    ends = 2 * _unpacked(dataset)
    if not dataset.shape[0] or ends > room:
        return 0
    dataset[0], dataset[-1]
    return ends


def _unpacked(dataset: h5py.Dataset) -> int:
    """Return how many bytes the library makes of the chunks that hold one entry along the first axis."""
    chunk = dataset.chunks or (1, *dataset.shape[1:])
    across = (-(-length // piece) for length, piece in zip(dataset.shape[1:], chunk[1:], strict=True))
    return int(prod(across) * prod(chunk) * dataset.dtype.itemsize)


if __name__ == "__main__":
    look_over(io.BytesIO(sys.stdin.buffer.read()) if sys.argv[1] == "-" else sys.argv[1])

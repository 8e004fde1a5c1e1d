"""The text of a file about itself, ``_metadata``: JSON in an array without axes, plain or pickled by older software."""

import json
import logging
import pickletools
from collections.abc import Iterator
from typing import Any, cast

from ptycho.acquisition.readers.archive import Archive
from ptycho.base.errors import DataError

logger = logging.getLogger(__name__)

KEY = "_metadata"
LONGEST = 2**20  # bytes; what somebody says of a scan is a page or two


def read_metadata(archive: Archive) -> dict[str, Any] | None:
    """Return what a file says about itself, or None where it says nothing.

    Nothing is unpickled: of an array of Python objects the opcodes are read, which runs no code, and the one text
    among them that is a JSON object is taken.

    Raises
    ------
    DataError
        It is too long, or not one JSON object.
    """
    if KEY not in archive:
        return None
    texts = _pickled_texts(archive.content(KEY, LONGEST)) if archive.is_pickled(KEY) else iter([_plain_text(archive)])
    found = [mapping for mapping in map(_mapping, texts) if mapping is not None]
    if len(found) != 1:
        raise DataError(f"found {len(found)} JSON objects in {KEY}, expected one as text; correct it or leave it out")
    return found[0]


def usable_metadata(archive: Archive) -> dict[str, Any] | None:
    """Return what a file says about itself; what can't be used is left out, and that is said."""
    try:
        return read_metadata(archive)
    except DataError as error:
        logger.info("_metadata is not of the documented layout (%s); it is left out", error)
        return None


def _plain_text(archive: Archive) -> str:
    array = archive[KEY]
    if array.size != 1 or array.dtype.kind not in "US" or array.nbytes > 4 * LONGEST:
        raise DataError(f"found {KEY} of type {array.dtype} and shape {array.shape}, expected JSON text; correct it")
    value = array.reshape(()).item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else cast(str, value)


def _pickled_texts(raw: bytes) -> Iterator[str]:
    try:
        yield from (argument for _, argument, _ in pickletools.genops(raw) if isinstance(argument, str))
    except ValueError as error:
        raise DataError(f"{KEY} is damaged ({error}); store it as JSON text, or leave it out") from error


def _mapping(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None

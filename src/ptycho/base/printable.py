"""Text that comes from files, made fit for a line on a terminal: names and values may hold anything."""

from collections.abc import Iterable

LONGEST = 2000
MOST_NAMES = 12


def printable(text: str, longest: int = LONGEST) -> str:
    r"""Return ``text`` as one line: what can't be printed is written out, and the middle of a long text left out.

    Control characters (of terminals too), line breaks, invisible marks that turn the order of letters, and halves of
    characters are what can't be printed.

    Examples
    --------
    >>> printable("scan\x1b[2J\n")
    'scan\\x1b[2J\\n'
    """
    line = text if text.isprintable() else "".join(map(_written_out, text))
    if len(line) <= longest:
        return line
    half = (longest - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"


def listed(names: Iterable[str], most: int = MOST_NAMES) -> str:
    """Return names in their alphabetical order with commas between, of many the first, for a message of one line.

    Examples
    --------
    >>> listed(["ycoords", "diff3d", "xcoords"], most=2)
    'diff3d, xcoords and 1 more'
    """
    found = sorted(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return f"{', '.join(found[:most])}{more}" if found else "none"


def counted(number: int, noun: str) -> str:
    """Return how many there are of what ``noun`` names, which takes an s where it isn't one.

    Examples
    --------
    >>> counted(1, "pattern"), counted(0, "pattern")
    ('1 pattern', '0 patterns')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _written_out(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]

"""Text that comes from files, made fit for a line on a terminal: names and values may hold anything."""

LONGEST = 2000


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


def _written_out(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]

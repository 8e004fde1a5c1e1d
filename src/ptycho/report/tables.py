"""Plain-text tables."""

from collections.abc import Sequence

from ptycho.base.printable import printable

Cell = str | float | int | None


def text_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table for a terminal: words to the left, numbers to the right with four digits, "-" for nothing.

    Examples
    --------
    >>> print(text_table(["", "PSNR dB"], [["network", 31.9], ["refined", 46.81234]]))
             PSNR dB
    -------  -------
    network    31.90
    refined    46.81
    """
    if any(len(row) != len(headers) for row in rows):
        raise ValueError(f"found rows of {sorted({len(row) for row in rows})} cells for {len(headers)} headers")
    cells = [[_text(cell) for cell in row] for row in rows]
    numbers = [bool(rows) and all(not isinstance(row[i], str) for row in rows) for i in range(len(headers))]
    widths = [max(len(row[i]) for row in (headers, *cells)) for i in range(len(headers))]
    lines = [list(headers), ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ).rstrip()
        for line in lines
    )


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:#.4g}" if isinstance(cell, float) else printable(str(cell))

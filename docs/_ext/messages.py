"""The messages of the software, as they stand in its source, and those that the manual explains.

    python docs/_ext/messages.py

lists the messages of errors that the page on troubleshooting says nothing about.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ERROR = re.compile(r"\w*(Error|Finding)$")


def in_source(folder: Path) -> set[str]:
    """Return every text in the Python files of a folder, with "…" for what varies."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.py"))]
    return {text for tree in trees for node in ast.walk(tree) if (text := as_text(node))}


def raised(folder: Path) -> Iterator[str]:
    """Yield the message of every error that is raised in the Python files of a folder, in their order."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and ERROR.match(node.func.id):
                yield from filter(None, map(as_text, node.args[:1]))


def as_text(node: ast.AST) -> str:
    """Return a string or f-string of the source with "…" for what varies; empty for other nodes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%\.?\d*[sdfg]", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(as_text(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def quoted(page: str) -> list[str]:
    """Return the messages that a page has entries for: code at the start of a row of a table."""
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


def main() -> None:
    """List the errors without an entry."""
    entries = quoted((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"))
    sys.stdout.writelines(
        f"{message}\n"
        for message in dict.fromkeys(raised(ROOT / "src"))
        if not any(entry in message for entry in entries)
    )


if __name__ == "__main__":
    main()

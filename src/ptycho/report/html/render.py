"""From a template and its contents to one file that carries its style and script with it."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from ptycho.base.atomic import write_text
from ptycho.base.errors import extra_missing

ASSETS = files("ptycho.report.html") / "assets"


def write_page(path: Path, template: str, **contents: Any) -> None:
    """Fill a template and write it, whole or not at all; every text in it is escaped.

    The page runs the one script that it was written with, by its hash, and can load nothing.

    Raises
    ------
    BackendNotInstalledError
        Jinja2 is not installed.
    OutputError
        The file can't be written.
    """
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    except ModuleNotFoundError as error:
        raise extra_missing("jinja2", "report") from error
    environment = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = _asset("viewer.js")
    page = environment.get_template(template).render(
        style=Markup(_asset("page.css")),
        script=Markup(script),
        script_hash=Markup("sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()),
        **contents,
    )
    # A file name may hold bytes that are no text.
    write_text(path, page.encode("utf-8", "backslashreplace").decode("utf-8"))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")

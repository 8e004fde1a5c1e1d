"""Sphinx: the manual, from Markdown, from the examples, and from the code."""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

project = "ptychopinn"
author = "The ptychopinn developers"
copyright = author
version = release = version_of("ptychopinn")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "reference_pages",
]
exclude_patterns = ["_build", "conf.py", "screenshots.py", "_ext", "_static", "examples/ptychodus_siemens.py"]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath", "deflist"]

# The examples are run when the manual is built; what the pages show is what they printed.
nb_custom_formats = {".py": "notebooks.from_script"}
nb_execution_mode = "auto"
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
STAR = Path(os.environ.get("PTYCHO_TEST_DATA", DOCS.parent.parent / "shared" / "data")) / "siemens_star"
os.environ.setdefault("SIEMENS_STAR", str(STAR / "siemens-star-small.npz.bz2"))
if not Path(os.environ["SIEMENS_STAR"]).is_file():
    nb_execution_excludepatterns = ["examples/02_*"]

autodoc_typehints = "none"
toc_object_entries = False
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"ptychopinn {release}"
html_static_path = ["_static"]
html_css_files = ["manual.css"]

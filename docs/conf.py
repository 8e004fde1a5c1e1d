"""Sphinx: the manual, from Markdown."""

from importlib.metadata import version as version_of

project = "ptychopinn"
author = "The ptychopinn developers"
copyright = author
version = release = version_of("ptychopinn")

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 2

html_theme = "furo"
html_title = f"ptychopinn {release}"

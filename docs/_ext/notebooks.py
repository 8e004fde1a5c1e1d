"""The examples as notebooks: scripts with ``# %%`` cells."""

import jupytext
from nbformat import NotebookNode


def from_script(text: str) -> NotebookNode:
    """Return the notebook that a script is; its language is said, for pages that are not run."""
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    return notebook

"""What is published has no gaps in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_placeholder_is_left_and_every_picture_and_link_is_there(document):
    text = document.read_text(encoding="utf-8")
    assert not re.search(r"\b[A-Z]+_TABLE\b|TODO|FIXME", text)
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [target for target in targets if not (document.parent / target).exists()] == []

"""The reference made of the code is that of the code, and guides use commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

from infra.cli import COMMANDS
from infra.documents import PATH, SETTINGS, reference

ROOT = Path(__file__).parents[2]
GUIDES = ("README.md", "docs/operations.md")


def test_the_reference_is_that_of_the_code() -> None:
    """docs/reference.md is what `python -m infra.documents` writes."""
    assert PATH.read_text("utf-8") == reference()


def test_every_setting_says_what_it_is() -> None:
    """No setting without a description."""
    silent = [name for kind in SETTINGS for name, field in kind.model_fields.items() if not field.description]
    assert silent == []


def test_guides_use_commands_that_there_are() -> None:
    """Whatever a guide has one type begins with a command of `mesh`."""
    for guide in GUIDES:
        used = set(re.findall(r"(?:bin/|\$ |`)mesh ([a-z]+)", (ROOT / guide).read_text("utf-8")))
        assert used <= set(COMMANDS), guide

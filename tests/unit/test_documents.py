"""The generated reference is up to date, and documents use existing commands."""

from __future__ import annotations

import re
from pathlib import Path

from infra.cli import COMMANDS
from infra.documents import PATH, SETTINGS, reference

ROOT = Path(__file__).parents[2]
GUIDES = ("README.md", "docs/operations.md")


def test_the_generated_reference_is_up_to_date() -> None:
    """docs/reference.md is the output of `python -m infra.documents`."""
    assert PATH.read_text("utf-8") == reference()


def test_every_setting_has_a_description() -> None:
    """The reference shows the descriptions."""
    undescribed = [
        name for model in SETTINGS for name, field in model.model_fields.items() if not field.description
    ]
    assert undescribed == []


def test_documents_use_existing_commands() -> None:
    """Every `mesh …` in the guides is a command."""
    for guide in GUIDES:
        used = set(re.findall(r"(?:bin/|\$ |`)mesh ([a-z][a-z-]*)", (ROOT / guide).read_text("utf-8")))
        assert used <= set(COMMANDS), guide

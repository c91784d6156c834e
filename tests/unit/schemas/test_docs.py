"""docs/events.md agrees with the Avro files."""

from __future__ import annotations

import pytest

from schemas import docs
from schemas.catalogue import catalogue

pytestmark = pytest.mark.unit


def test_page_is_up_to_date() -> None:
    """docs/events.md equals the output of `python -m schemas.docs`."""
    assert docs.PATH.read_text(encoding="utf-8") == docs.render(catalogue())


def test_page_has_nested_fields_and_topics() -> None:
    """The page has nested fields with their path, and the topics of each schema."""
    text = docs.render(catalogue())
    for expected in (
        "| `persons[].facts.birth_date` | date? |",
        "| `rows[].code` |",
        "`in.juki-cs.<municipality>`",
    ):
        assert expected in text

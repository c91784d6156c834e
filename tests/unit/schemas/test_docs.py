"""The reference in docs/ is that of the files."""

from __future__ import annotations

import pytest

from schemas import docs
from schemas.catalogue import catalogue

pytestmark = pytest.mark.unit


def test_events_are_as_documented() -> None:
    """docs/events.md is what `python -m schemas.docs` would write."""
    assert docs.PATH.read_text(encoding="utf-8") == docs.reference(catalogue())


def test_every_field_is_in_the_reference() -> None:
    """Nested fields too, with their path; and the topics of a schema."""
    text = docs.reference(catalogue())
    for expected in (
        "| `persons[].facts.birth_date` | date? |",
        "| `rows[].code` |",
        "`in.juki-cs.<municipality>`",
    ):
        assert expected in text

"""What a declaration says about several persons and other persons, and fields with several values."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from schemas.declare import (
    PART,
    Cause,
    DeclarationError,
    Entity,
    Follows,
    closes,
    flags,
    opens,
    person_ref,
    text,
)
from schemas.generate import generated_schemas
from schemas.systems.model import System, submission_schema
from tests.unit.processors.intake.aid import AID, SYSTEM

SERIAL, HEAD = text("serial", "番号", 8), person_ref("head", "世帯主")
KINDS = flags("kinds", "種類", "a", "b", "c")
BEGAN, ENDED = opens("Began", "開始", "kinds", "head"), closes("Ended", "終了")
VALID: dict[str, Any] = {
    "id": "aid", "japanese": "扶助", "fields": (SERIAL, KINDS, HEAD), "events": (BEGAN, ENDED), "key": (PART, "serial"),
}  # fmt: skip


def test_flags_have_some_of_their_values_in_order() -> None:
    """Equal sets of values are equal texts, because no other order has the form."""
    fitting = {"a", "b", "c", "a,b", "a,c", "b,c", "a,b,c"}
    texts = {",".join(some) for count in range(5) for some in permutations(["a", "b", "c", "a"], count)}
    assert {each for each in texts if re.fullmatch(KINDS.pattern, each)} == fitting
    assert KINDS.characters_max == len("a,b,c")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"fields": (SERIAL, KINDS, HEAD, text("members", "人", 8))}, "name of a column that every row has"),
        ({"key": ("head",)}, "part of the key and can't be another person"),
        ({"events": (replace(BEGAN, fields=("kinds",), sets={"head": "12345678901"}),)}, "sets head to"),
        ({"events": (replace(BEGAN, fields=("head",), sets={"kinds": "c,a"}),)}, "sets kinds to 'c,a'"),
        ({"key": ("serial",), "follows": (Follows("Ended", Cause.LEFT),)}, "the key must have PART"),
        ({"follows": (Follows("Ended", Cause.LEFT, stays=True),)}, "it can't stay"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_an_error(overrides: dict[str, Any], message: str) -> None:
    """At import, with a sentence that names the entity."""
    assert Entity(**VALID).person_refs == ("head",)
    setting = replace(BEGAN, fields=("head",), sets={"kinds": "a,c"})
    assert Entity(**VALID | {"events": (setting,)}).events == (setting,)
    with pytest.raises(DeclarationError, match=f"aid: .*{message}"):
        Entity(**VALID | overrides)


@pytest.mark.parametrize("values", [("a", "a"), ("a", "b,c"), ("a", "")])
def test_flags_are_different_words(values: tuple[str, ...]) -> None:
    """A comma would make one value look like two."""
    with pytest.raises(DeclarationError, match="flags 'kinds'"):
        flags("kinds", "種類", *values)


@pytest.mark.parametrize("pattern", ["^(?!X)[A-Z]{1,9}$", "^[A-Z$", "[A-Z]{1,9}", "^[A-Z]{1,9}"])
def test_a_pattern_is_of_re2_and_of_the_whole_text(pattern: str) -> None:
    """Intake would fail on each submission, or accept any text with a part that matches."""
    with pytest.raises(DeclarationError, match="text 'serial'"):
        text("serial", "番号", 10, pattern)


def test_a_schema_has_members_if_any_event_has() -> None:
    """Its documentation names these events; no other system's schema has the field."""
    alone = replace(AID, events=tuple(replace(event, of_members=False) for event in AID.events))
    system = System("aid", "扶助", SYSTEM.scope, submission_schema("aid"), owns=(alone,))
    with_members, without = (
        {field["name"]: field for field in generated_schemas(each)["submission-aid"]["fields"]}
        for each in (SYSTEM, system)
    )
    assert set(with_members) - set(without) == {"members"}
    assert with_members["members"]["type"] == ["null", {"type": "array", "items": "string"}]
    assert "of AidBegan, AidChanged, and of Cancelled" in with_members["members"]["doc"]

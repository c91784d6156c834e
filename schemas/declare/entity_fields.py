"""Fields of declared entities: what an event brings, and in which form."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

#: Text without control characters and other invisible characters; intake checks the characters.
FREE_TEXT: Final = ""


class DeclarationError(ValueError):
    """A declaration contradicts itself. The message is a sentence that names the system or entity and the field."""


@dataclass(frozen=True)
class EntityField:
    """A field of an entity. In submissions and inside the mesh every value is text; at the edges it has `type`.

    `pattern` is a regular expression (RE2, with anchors), FREE_TEXT for any visible text. `choices` are all values that
    it may have, if they are few; `flags` are those of which it has one or several. An `is_optional` field may be
    missing in an event that brings it. What `is_location` points to the place where the person is, and is withheld
    while a protection measure is in force. `conversion` is what a domain gets of the value: a romanization of a
    reading, or its own code of a household or of another person.
    """

    name: str
    japanese: str
    type: Literal["string", "date", "long"] = "string"
    characters_max: int = 100
    pattern: str = FREE_TEXT
    choices: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    is_optional: bool = False
    is_location: bool = False
    conversion: Literal["", "roman", "household", "person"] = ""

    def optional(self) -> EntityField:
        """Return the same field, which an event may leave out."""
        return replace(self, is_optional=True)

    @property
    def is_person_ref(self) -> bool:
        """Whether the value names another person."""
        return self.conversion == "person"

    def location(self) -> EntityField:
        """Return the same field, which points to the place where the person is."""
        return replace(self, is_location=True)


def text(name: str, japanese: str, characters_max: int, pattern: str = FREE_TEXT) -> EntityField:
    """Declare a field of text with a maximum length in characters."""
    if pattern != FREE_TEXT:
        _check_pattern(name, pattern)
    return EntityField(name, japanese, characters_max=characters_max, pattern=pattern)


def _check_pattern(name: str, pattern: str) -> None:
    """Raise DeclarationError if intake couldn't match values against a pattern, or would match only part of them."""
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        raise DeclarationError(
            f"text {name!r}: {pattern} is no regular expression of RE2: {error}"
        ) from error
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise DeclarationError(f"text {name!r}: the pattern {pattern} must begin with ^ and end with $")


def digits(name: str, japanese: str, count: int) -> EntityField:
    """Declare a field of exactly `count` digits."""
    return EntityField(name, japanese, characters_max=count, pattern=f"^[0-9]{{{count}}}$")


def day(name: str, japanese: str) -> EntityField:
    """Declare a day, submitted as YYYY-MM-DD."""
    return EntityField(name, japanese, "date", characters_max=10, pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")


def yen(name: str, japanese: str) -> EntityField:
    """Declare an amount of money in yen: up to 13 digits without a sign."""
    return EntityField(name, japanese, "long", characters_max=13, pattern="^(0|[1-9][0-9]{0,12})$")


def choice(name: str, japanese: str, *values: str) -> EntityField:
    """Declare a field that has one of a few values."""
    return EntityField(name, japanese, characters_max=max(map(len, values)), choices=values)


def flags(name: str, japanese: str, *values: str) -> EntityField:
    """Declare a field that has one or several of a few values, joined by commas in the order of the declaration."""
    if not all(re.fullmatch("[a-z0-9-]+", value) for value in values) or len(set(values)) < len(values):
        raise DeclarationError(f"flags {name!r}: the values must be different words of a-z, 0-9 and hyphens")
    beginnings = (
        value + "".join(f"(,{later})?" for later in values[position:])
        for position, value in enumerate(values, 1)
    )
    pattern = f"^({'|'.join(beginnings)})$"
    return EntityField(name, japanese, characters_max=len(",".join(values)), pattern=pattern, flags=values)


def person_ref(name: str, japanese: str) -> EntityField:
    """Declare a field that names another person: by resident record code in submissions."""
    return EntityField(name, japanese, characters_max=11, pattern="^[0-9]{11}$", conversion="person")

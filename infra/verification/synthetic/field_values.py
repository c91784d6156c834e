"""Random values of declared fields, in the form that the declaration demands."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from schemas.declare import FREE_TEXT, EntityField

_WORDS = ("あさひ", "みどり", "ひかり", "さくら", "中央", "第一", "東", "西")
#: Most repetitions of a part of a pattern that could be repeated without end, or very often.
_REPEATED_MAX = 12


def random_value(field: EntityField, rng: random.Random) -> str:
    """Return a value for a field that isn't a day. Raise ValueError for a pattern of an unknown kind."""
    if field.choices:
        return rng.choice(field.choices)
    if field.flags:
        some = rng.sample(range(len(field.flags)), rng.randint(1, len(field.flags)))
        return ",".join(field.flags[position] for position in sorted(some))
    if field.pattern == FREE_TEXT:
        return "".join(rng.choices(_WORDS, k=2))[: field.characters_max]
    value = "".join(_matching(field.pattern.removeprefix("^").removesuffix("$"), rng))[: field.characters_max]
    if not re.fullmatch(field.pattern, value):
        raise ValueError(f"no synthetic value of field {field.name} matches {field.pattern}")
    return value


_PART = re.compile(r"(\[[^]]+\]|\((?:[^()]|\([^()]*\))*\)|\\?.)(\{\d+(?:,\d*)?\}|[?*+])?")


def _matching(pattern: str, rng: random.Random) -> Iterator[str]:
    """Yield pieces of a text that matches a pattern of classes, groups with alternatives, and repetitions."""
    for part, repetition in _PART.findall(pattern):
        for _ in range(_repetitions(repetition, rng)):
            if part.startswith("["):
                yield rng.choice(_characters(part[1:-1]))
            elif part.startswith("("):
                alternatives = re.split(r"\|(?![^(]*\))", part[1:-1].removeprefix("?:"))
                yield from _matching(rng.choice(alternatives), rng)
            elif part == r"\d":
                yield rng.choice("0123456789")
            else:
                yield part.removeprefix("\\")


def _repetitions(repetition: str, rng: random.Random) -> int:
    bounds = {"": (1, 1), "?": (0, 1), "*": (0, _REPEATED_MAX), "+": (1, _REPEATED_MAX)}
    if repetition in bounds:
        return rng.randint(*bounds[repetition])
    least, comma, most = repetition.strip("{}").partition(",")
    if not comma:
        return int(least)
    most_used = max(int(least), min(int(most or _REPEATED_MAX), _REPEATED_MAX))
    # Rather long, so that values that must be unique are.
    return max(int(least), most_used - rng.randrange(3))


def _characters(content: str) -> str:
    """Return the characters of a class such as A-Za-z0-9-."""
    return "".join(
        "".join(map(chr, range(ord(one[0]), ord(one[2]) + 1))) if len(one) == 3 else one
        for one in re.findall(r"[^-]-[^-]|.", content)
    )

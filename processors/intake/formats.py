"""The format of every column. Each check takes a column of strings and returns for each value whether it is valid.

Null means "not given": a check returns null for it, and the caller decides whether that is allowed. Values are never
trimmed or guessed. Every format has a maximum length, so no submission can bring unbounded values into the mesh.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import map_distinct
from schemas.characters import HIDDEN_RE2
from schemas.municipalities import is_municipality, is_municipality_or_abroad

#: A check of a column: takes strings, returns booleans.
Check = Callable[[pa.Array], pa.Array]

#: Maximum lengths in characters.
NAME_MAX: Final = 100
KANA_MAX: Final = 100
RELATIONSHIP_MAX: Final = 40
ADDRESS_MAX: Final = 300
ACCOUNT_TYPE_MAX: Final = 20

#: A notice number as the municipality chose it; it says nothing about order.
NOTICE: Final = "^[A-Za-z0-9-]{1,32}$"

#: Katakana from ァ to ヺ (includes small ones, ヴ, ヵ, ヶ) and the long vowel mark; one full-width space.
KANA: Final = "^[ァ-ヺー]+　[ァ-ヺー]+$"

#: A holder's name as banks write it: any number of words, also with half-width spaces. Fan-out checks whose it is.
HOLDER: Final = "^[ァ-ヺー]+([　 ][ァ-ヺー]+)*$"

#: Variation selectors, each of which follows the kanji whose form it selects.
_SELECTORS: Final = r"\x{fe00}-\x{fe0f}\x{e0100}-\x{e01ef}"
_FREE_TEXT: Final = rf"^\p{{Zs}}*[^\p{{Z}}{_SELECTORS}{HIDDEN_RE2}][^{HIDDEN_RE2}]*$"
_DATE: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def digits(count: int, at_least: int | None = None) -> Check:
    """Return a check for ASCII digits: exactly `count` of them, or from `at_least` to `count`."""

    def check(values: pa.Array) -> pa.Array:
        length = pc.binary_length(values)
        has_length = pc.and_(pc.greater_equal(length, at_least or count), pc.less_equal(length, count))
        return pc.and_(has_length, pc.ascii_is_decimal(values))

    return check


def matches(pattern: str, characters_max: int | None = None) -> Check:
    """Return a check for a regular expression (RE2, with anchors) and a maximum length."""

    def check(values: pa.Array) -> pa.Array:
        # The expression is compiled again for each column, and optional columns are often null in a whole batch.
        if values.null_count == len(values):
            return pa.nulls(len(values), pa.bool_())
        matching = pc.match_substring_regex(values, pattern)
        if characters_max is None:
            return matching
        return pc.and_(matching, pc.less_equal(pc.utf8_length(values), characters_max))

    return check


def free_text(characters_max: int) -> Check:
    """Return a check for text that isn't blank, has no hidden characters (`schemas.characters`), and isn't too long."""
    return matches(_FREE_TEXT, characters_max)


def without_hidden_characters(values: pa.Array) -> pa.Array:
    """Return whether each value has no hidden character; for columns with few distinct values."""
    return map_distinct(values, matches(f"^[^{HIDDEN_RE2}]*$"))


def one_of(*allowed: str) -> Check:
    """Return a check for one of a few values."""
    value_set = pa.array(allowed, pa.string())
    return lambda values: pc.if_else(pc.is_valid(values), pc.is_in(values, value_set=value_set), None)


def _per_distinct_value(check: Callable[[str], bool]) -> Check:
    """Return a check of columns with few distinct values, which calls `check` once for each of them."""
    return lambda values: map_distinct(
        values, lambda distinct: pa.array(map(check, distinct.to_pylist()), pa.bool_())
    )


def to_date(values: pa.Array) -> pa.Array:
    """Return the dates (date32) of strings in the format YYYY-MM-DD; null if the format or the date is invalid."""
    return map_distinct(values, _distinct_dates)


def _distinct_dates(values: pa.Array) -> pa.Array:
    return pa.array(map(_date_or_none, values.to_pylist()), pa.date32())


def _date_or_none(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:  # A day that doesn't exist, or the year 0.
        return None


is_number: Final = digits(18, at_least=1)
is_notice: Final = matches(NOTICE)
is_municipality_code: Final = _per_distinct_value(is_municipality)
is_place_code: Final = _per_distinct_value(is_municipality_or_abroad)
is_household: Final = digits(12)
is_local_number: Final = digits(13)
is_resident_code: Final = digits(11)
is_name: Final = free_text(NAME_MAX)
is_kana: Final = matches(KANA, KANA_MAX)
is_sex: Final = one_of("男", "女")
is_relationship: Final = free_text(RELATIONSHIP_MAX)
is_address: Final = free_text(ADDRESS_MAX)
is_flag: Final = one_of("0", "1")
is_account: Final = matches("^[A-Za-z0-9._-]+$", 64)
is_holder: Final = matches(HOLDER, KANA_MAX)
is_bank: Final = digits(4)
is_branch: Final = digits(3)
is_account_type: Final = free_text(ACCOUNT_TYPE_MAX)
is_account_number: Final = digits(7)


def is_date(values: pa.Array) -> pa.Array:
    """Return whether each value is an existing date in the format YYYY-MM-DD."""
    return pc.if_else(pc.is_valid(values), pc.is_valid(to_date(values)), None)

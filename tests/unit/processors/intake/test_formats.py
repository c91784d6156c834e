"""Each check of a column gives every value the result of a plain check of that value."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.intake import formats
from schemas.characters import HIDDEN
from schemas.municipalities import is_municipality, is_municipality_or_abroad

Plain = Callable[[str], bool]


def plain_date(text: str) -> bool:
    try:
        return re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text) is not None and bool(date.fromisoformat(text))
    except ValueError:
        return False


def plain_text(characters_max: int) -> Plain:
    def check(text: str) -> bool:
        shown = "".join(character for character in text if unicodedata.category(character) != "Zs")
        is_selector_first = re.match("[\ufe00-\ufe0f\U000e0100-\U000e01ef]", shown) is not None
        return (
            bool(shown) and not is_selector_first and not HIDDEN.search(text) and len(text) <= characters_max
        )

    return check


def plain_pattern(pattern: str, characters_max: int = 10**9) -> Plain:
    return lambda text: re.fullmatch(pattern, text) is not None and len(text) <= characters_max


K = "[ァ-ヺー]+"

CASES: dict[str, tuple[formats.Check, Plain, str]] = {
    "number": (formats.is_number, plain_pattern("[0-9]{1,18}"), "[0-9]{0,20}"),
    "notice": (formats.is_notice, plain_pattern("[A-Za-z0-9-]{1,32}"), "[A-Za-z0-9-]{0,31}[-_Zz９]{0,3}"),
    "municipality": (formats.is_municipality_code, is_municipality, "(1310[34]|0120)[0-9]{1,2}"),
    "place": (formats.is_place_code, is_municipality_or_abroad, "999999|1310[0-9]{2}"),
    "household": (formats.is_household, plain_pattern("[0-9]{12}"), "[0-9]{11,13}"),
    "local_number": (formats.is_local_number, plain_pattern("[0-9]{13}"), "[0-9]{12,14}"),
    "code": (formats.is_resident_code, plain_pattern("[0-9]{11}"), "[0-9]{9}[0-9X０]{1,3}"),
    "name": (formats.is_name, plain_text(formats.NAME_MAX), "[山﨑𠮷葛󠄀 　\n\u202e\u200d\ufe01]{0,9}"),
    "kana": (formats.is_kana, plain_pattern(f"{K}　{K}", formats.KANA_MAX), "[アヴー・あ]{1,3}[　 ]?[ンヺ]{0,3}"),
    "birth_date": (formats.is_date, plain_date, "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]"),
    "effective_on": (formats.is_date, plain_date, "(1900|2000|2023|2024|0000)-02-(28|29|30)"),
    "sex": (formats.is_sex, ("男", "女").__contains__, "[男女]{0,2}"),
    "relationship": (formats.is_relationship, plain_text(formats.RELATIONSHIP_MAX), "(子|妻){0,50}"),
    "address": (formats.is_address, plain_text(formats.ADDRESS_MAX), "[東京　1]{290,310}"),
    "flag": (formats.is_flag, ("0", "1").__contains__, "[01]{0,2}"),
    "account": (formats.is_account, plain_pattern("[A-Za-z0-9._-]+", 64), "[A-Za-z0-9._/-]{0,70}"),
    "holder": (formats.is_holder, plain_pattern(f"{K}([　 ]{K})*", formats.KANA_MAX), "[アー]{1,3}[　 ]{0,2}[ン]{0,3}"),
    "bank": (formats.is_bank, plain_pattern("[0-9]{4}"), "[0-9]{3,5}"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_a_check_of_a_column_equals_the_plain_check_of_each_value(name: str, data: st.DataObject) -> None:
    """Null, "not given", is neither valid nor invalid; nothing raises."""
    check, plain, similar = CASES[name]
    value = st.none() | st.text(max_size=12) | st.from_regex(similar, fullmatch=True)
    values = data.draw(st.lists(value, max_size=8))
    results = check(pa.array(values, pa.string())).to_pylist()
    assert results == [None if value is None else plain(value) for value in values]


@given(st.dates())
def test_every_day_of_the_calendar_is_converted(day: date) -> None:
    """From the year 1 to 9999."""
    assert formats.to_date(pa.array([day.isoformat()])).to_pylist() == [day]


def test_a_slice_is_checked_by_its_own_values() -> None:
    """A batch may be a slice of a larger table."""
    values = pa.array(["2026-02-30", "2026-02-28", None, "x"]).slice(1)
    assert formats.is_date(values).to_pylist() == [True, None, False]

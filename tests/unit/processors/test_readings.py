"""Readings as on a passport."""

from __future__ import annotations

import json
import re
from importlib import resources

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processors.readings import UnreadableKanaError, roman, roman_part
from tests.samples import SAMPLES


@pytest.mark.parametrize(
    ("kana", "letters"),
    [
        ("ホンマ", "HOMMA"),
        ("ナンバ", "NAMBA"),
        ("サンペイ", "SAMPEI"),
        ("カンダ", "KANDA"),
        ("ジュンイチ", "JUNICHI"),
        ("シンヤ", "SHINYA"),
        ("ハットリ", "HATTORI"),
        ("エッチュウ", "ETCHU"),
        ("ホッチ", "HOTCHI"),
        ("テッシ", "TESSHI"),
        ("オオノ", "ONO"),
        ("コウノ", "KONO"),
        ("ユウマ", "YUMA"),
        ("リョウタロウ", "RYOTARO"),
        ("ヒュウガ", "HYUGA"),
        ("オオウチ", "OUCHI"),
        ("オオオカ", "OOKA"),
        ("コオリ", "KORI"),
        ("ヨコオ", "YOKOO"),
        ("セノオ", "SENOO"),
        ("ミノウラ", "MINOURA"),
        ("マツウラ", "MATSUURA"),
        ("ミウラ", "MIURA"),
        ("イノウエ", "INOUE"),
        ("ヤマノウチ", "YAMANOUCHI"),
        ("ノウチ", "NOUCHI"),
        ("フルウチ", "FURUUCHI"),
        ("コウチワ", "KOUCHIWA"),
        ("フニウ", "FUNIU"),
        ("ニーナ", "NINA"),
        ("サリー", "SARI"),
        ("ティナ", "TEINA"),
        ("ファン", "FUAN"),
        ("ジェシカ", "JIESHIKA"),
        ("チェ", "CHIE"),
        ("デュカ", "DEYUKA"),
        ("ヴァン", "BUAN"),
        ("ヂャ", "JA"),
        ("ヅヲヰヱ", "ZUOIE"),
        ("ー", ""),
    ],
)
def test_a_part_of_a_name(kana: str, letters: str) -> None:
    """Examples of the passport offices, and names where two words meet."""
    assert roman_part(kana) == letters


def test_surname_and_given_name() -> None:
    """Parted by a space."""
    assert roman("オオノ　ユウマ") == "ONO YUMA"


@example("ンンヷ")
@given(st.from_regex("[ァ-ヺー]{1,12}", fullmatch=True))
def test_any_katakana_can_be_written(part: str) -> None:
    """In plain capitals, with no N before B, M, P."""
    letters = roman_part(part)
    assert re.fullmatch("[A-Z]*", letters)
    assert not re.search("N[BMP]", letters)


@given(st.text(st.characters(exclude_characters=[chr(c) for c in range(0x30A1, 0x30FD)]), max_size=5))
def test_all_else_is_unreadable(part: str) -> None:
    """And the error doesn't repeat it."""
    with pytest.raises(UnreadableKanaError) as error:
        roman_part(part)
    assert str(error.value) == "a reading is katakana, full width"


def test_the_list_of_boundaries_is_needed_line_by_line() -> None:
    """Each line is written otherwise than the rule alone would; no line stands twice."""
    text = (resources.files("processors") / "hepburn_boundaries.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(set(lines)) == len(lines)
    for line in lines:
        name = line.replace("*", "ヤ")
        words = name.split("|")
        assert len(words) == 2
        joined = roman_part(words[0]) + roman_part(words[1])
        assert roman_part(name.replace("|", "")) == joined
        assert re.search("[オコソトノホモヨロゴゾドボウクスツヌフムユルグズブ]$", words[0])
        assert words[1][0] in "オウ"


@pytest.mark.parametrize("city", ["city", "city-2"])
def test_the_sample_cities(city: str) -> None:
    """Every reading there."""
    rows = json.loads((SAMPLES / city / "expected.json").read_text(encoding="utf-8"))["rows"]
    assert {row["kana"]: row["roman"] for row in rows} == {row["kana"]: roman(row["kana"]) for row in rows}

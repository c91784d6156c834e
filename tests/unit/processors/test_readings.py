"""Roman readings as on a passport."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processors.readings import UnreadableKanaError, roman, roman_part
from tests.register_files import expected_json
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
    """Examples of the passport offices, and names in which two words meet."""
    assert roman_part(kana) == letters


def test_surname_and_given_name_are_separated_by_a_space() -> None:
    """Each part is transcribed by itself."""
    assert roman("オオノ　ユウマ") == "ONO YUMA"


@example("ンンヷ")
@given(st.from_regex("[ァ-ヺー]{1,12}", fullmatch=True))
def test_any_katakana_can_be_transcribed(part: str) -> None:
    """The result has plain capitals, and no N before B, M or P."""
    letters = roman_part(part)
    assert re.fullmatch("[A-Z]*", letters)
    assert not re.search("N[BMP]", letters)


@given(st.text(st.characters(exclude_characters=[chr(c) for c in range(0x30A1, 0x30FD)]), max_size=5))
def test_any_other_text_is_unreadable(part: str) -> None:
    """The error doesn't repeat the text."""
    with pytest.raises(UnreadableKanaError) as error:
        roman_part(part)
    assert str(error.value) == "the reading is not in full-width katakana"


def test_every_listed_word_boundary_is_needed() -> None:
    """Each line changes the result of the rule alone; no line occurs twice."""
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
def test_the_readings_of_the_sample_cities(city: str) -> None:
    """Every reading in expected.json is correct."""
    rows = expected_json(SAMPLES / city)["rows"]
    assert {row["kana"]: row["roman"] for row in rows} == {row["kana"]: roman(row["kana"]) for row in rows}

"""Readings in katakana to Hepburn capitals, as on a passport (外務省, ヘボン式ローマ字綴方表).

The rules: N is M before B, M, P; ッ doubles the consonant, and is T before CH; a long O (オ or ウ after an O) and a
long U (ウ after a U) are written once, but オ at the end of a name stays (ヨコオ YOKOO); ー isn't written. Small vowels
are written as vowels (ティ TEI, ファ FUA). Where two words of a name meet there is no long vowel:
`hepburn_boundaries.txt` lists those.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from typing import Final

#: Kana in the order of the table, and what each is written as.
_ROWS: Final = (
    ("アイウエオ", "A I U E O"),
    ("カキクケコ", "KA KI KU KE KO"),
    ("サシスセソ", "SA SHI SU SE SO"),
    ("タチツテト", "TA CHI TSU TE TO"),
    ("ナニヌネノ", "NA NI NU NE NO"),
    ("ハヒフヘホ", "HA HI FU HE HO"),
    ("マミムメモ", "MA MI MU ME MO"),
    ("ヤユヨ", "YA YU YO"),
    ("ラリルレロ", "RA RI RU RE RO"),
    ("ワヰヱヲン", "WA I E O N"),
    ("ガギグゲゴ", "GA GI GU GE GO"),
    ("ザジズゼゾ", "ZA JI ZU ZE ZO"),
    ("ダヂヅデド", "DA JI ZU DE DO"),
    ("バビブベボ", "BA BI BU BE BO"),
    ("パピプペポ", "PA PI PU PE PO"),
    ("ァィゥェォ", "A I U E O"),
    ("ャュョヮ", "YA YU YO WA"),
    ("ヴヷヸヹヺ", "BU BA BI BE BO"),
    ("ヵヶ", "KA KE"),
)
_LETTERS: Final = {kana: text for row, texts in _ROWS for kana, text in zip(row, texts.split(), strict=True)}
_READABLE: Final = re.compile("[ァ-ヺー]+")
_LONG: Final = {"オ": "O", "ウ": "OU"}
_N_BEFORE_LABIAL: Final = re.compile("N+(?=[BMP])")
_PARTS_KEPT: Final = 65_536


class UnreadableKanaError(ValueError):
    """A reading holds something else than katakana; the message doesn't repeat it."""


@lru_cache(maxsize=_PARTS_KEPT)
def roman_part(part: str) -> str:
    """A surname or a given name. UnreadableKanaError for anything but katakana from ァ to ヺ and ー, or nothing."""
    if not _READABLE.fullmatch(part):
        raise UnreadableKanaError("a reading is katakana, full width")
    *before, last = _words(part)
    letters = [letters for word in before for letters in _word(word, last=False)]
    return _joined([*letters, *_word(last, last=True)])


def roman(kana: str) -> str:
    """Surname and given name, parted by a space; UnreadableKanaError where they aren't katakana parted by U+3000."""
    surname, _, given_name = kana.partition("\u3000")
    return f"{roman_part(surname)} {roman_part(given_name)}"


def _word(word: str, *, last: bool) -> list[str]:
    """The letters of each kana of one word of a name; none for the second half of a long vowel, nor for ー."""
    found: list[str] = []
    vowel = ""
    for place, kana in enumerate(word):
        final_o = kana == "オ" and last and place == len(word) - 1 and place > 0
        if kana == "ー" or (vowel and vowel in _LONG.get(kana, "") and not final_o):
            vowel = ""
            continue
        if kana in "ャュョ" and found and _joins(word[place - 1]):
            found[-1] = _palatal(found[-1], _LETTERS[kana])
        else:
            found.append(kana if kana == "ッ" else _LETTERS[kana])
        vowel = found[-1][-1]
    return found


def _joins(before: str) -> bool:
    return before in "キシチニヒミリギジヂビピ"


def _palatal(before: str, small: str) -> str:
    """KI and YA make KYA; SHI, CHI, JI and YA make SHA, CHA, JA."""
    stem = before[:-1]
    return stem + (small[1:] if stem in ("SH", "CH", "J") else small)


def _joined(letters: list[str]) -> str:
    text = ""
    for here, following in pairwise([*letters, ""]):
        text += here if here != "ッ" else _doubling(following)
    return _N_BEFORE_LABIAL.sub(lambda found: "M" * len(found[0]), text)


def _doubling(following: str) -> str:
    """What ッ is before these letters: nothing before a vowel, ン, another ッ or the end."""
    if following in ("N", "ッ", ""):
        return ""
    return "T" if following.startswith("CH") else following[0].strip("AIUEO")


def _words(part: str) -> list[str]:
    """The words of a part, where it is listed; else the part itself."""
    whole, endings = _boundaries()
    if part in whole:
        return whole[part]
    for ending, words in endings.items():
        if part.endswith(ending):
            return [part.removesuffix(ending) + words[0], *words[1:]]
    return [part]


@cache
def _boundaries() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Listed parts, and listed endings (those with *), each with its words; longer endings first."""
    text = (resources.files("processors") / "hepburn_boundaries.txt").read_text(encoding="utf-8")
    listed = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    words = {line.replace("|", ""): line.strip("*").split("|") for line in listed}
    endings = {part.strip("*"): of_part for part, of_part in words.items() if part.startswith("*")}
    whole = {part: of_part for part, of_part in words.items() if not part.startswith("*")}
    return whole, dict(sorted(endings.items(), key=lambda item: -len(item[0])))

"""Readings in katakana to Hepburn capitals, as in a passport (外務省, ヘボン式ローマ字綴方表).

The rules: N becomes M before B, M, P; ッ doubles the consonant, and is T before CH; a long O (オ or ウ after an O) and
a long U (ウ after a U) are written once, but オ at the end of a name stays (ヨコオ YOKOO); ー isn't written. Small
vowels are written as vowels (ティ TEI, ファ FUA). No vowel is long across the boundary between two words of a name:
`hepburn_boundaries.txt` lists names with such boundaries.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from typing import Final

#: Kana in the order of the table, with their letters.
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
_PARTS_CACHED: Final = 65_536


class UnreadableKanaError(ValueError):
    """A reading has a character that isn't katakana. The message doesn't repeat the reading."""


@lru_cache(maxsize=_PARTS_CACHED)
def roman_part(part: str) -> str:
    """Return a surname or given name in Hepburn capitals.

    Raise UnreadableKanaError if it is empty or has any character other than ァ to ヺ and ー.
    """
    if not _READABLE.fullmatch(part):
        raise UnreadableKanaError("the reading is not in full-width katakana")
    *other_words, last_word = _words(part)
    letters = [letters for word in other_words for letters in _letters_of(word, last=False)]
    return _join([*letters, *_letters_of(last_word, last=True)])


def roman(kana: str) -> str:
    """Return surname and given name in Hepburn capitals, separated by a space.

    Raise UnreadableKanaError if `kana` isn't two words in katakana separated by U+3000.
    """
    surname, _, given_name = kana.partition("\u3000")
    return f"{roman_part(surname)} {roman_part(given_name)}"


def _letters_of(word: str, *, last: bool) -> list[str]:
    """Return the letters of each kana of one word; none for ー and for the second half of a long vowel."""
    letters: list[str] = []
    vowel = ""
    for index, kana in enumerate(word):
        final_o = kana == "オ" and last and index == len(word) - 1 and index > 0
        if kana == "ー" or (vowel and vowel in _LONG.get(kana, "") and not final_o):
            vowel = ""
            continue
        if kana in "ャュョ" and letters and _is_palatalized(word[index - 1]):
            letters[-1] = _palatalize(letters[-1], _LETTERS[kana])
        else:
            letters.append(kana if kana == "ッ" else _LETTERS[kana])
        vowel = letters[-1][-1]
    return letters


def _is_palatalized(kana: str) -> bool:
    return kana in "キシチニヒミリギジヂビピ"


def _palatalize(letters: str, small: str) -> str:
    """Combine KI and YA to KYA; SHI, CHI, JI and YA to SHA, CHA, JA."""
    stem = letters[:-1]
    return stem + (small[1:] if stem in ("SH", "CH", "J") else small)


def _join(letters: list[str]) -> str:
    text = ""
    for current, following in pairwise([*letters, ""]):
        text += current if current != "ッ" else _doubled_consonant(following)
    return _N_BEFORE_LABIAL.sub(lambda match: "M" * len(match[0]), text)


def _doubled_consonant(following: str) -> str:
    """Return the letter of ッ before these letters; none before a vowel, ン, another ッ or the end."""
    if following in ("N", "ッ", ""):
        return ""
    return "T" if following.startswith("CH") else following[0].strip("AIUEO")


def _words(part: str) -> list[str]:
    """Return the words of a name: from the list of names, else by its listed ending, else the name as one word."""
    names, endings = _boundaries()
    if part in names:
        return names[part]
    for ending, words in endings.items():
        if part.endswith(ending):
            return [part.removesuffix(ending) + words[0], *words[1:]]
    return [part]


@cache
def _boundaries() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the words of each listed name, and of each listed ending (marked by *), longer endings first."""
    text = (resources.files("processors") / "hepburn_boundaries.txt").read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    words = {line.replace("|", ""): line.strip("*").split("|") for line in lines}
    endings = {name.strip("*"): parts for name, parts in words.items() if name.startswith("*")}
    names = {name: parts for name, parts in words.items() if not name.startswith("*")}
    return names, dict(sorted(endings.items(), key=lambda item: -len(item[0])))
